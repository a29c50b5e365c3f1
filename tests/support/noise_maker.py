"""Noise by seed: bursts of CPU on each core, and short stops of the processes of a command.

    python tests/support/noise_maker.py with --share 0.2 --seed 3 -- brownout run plan.toml
    python tests/support/noise_maker.py burst --share 0.2 --seed 3 --core 1
    python tests/support/noise_maker.py stop --share 0.2 --seed 3 --below PID

The first runs a command during the noise; the others make it. Each of those is a process of its
own, with the nice value of its starter, and prints a line of JSON for each thing that it did. It
ends when its standard input does, so not later than its starter, and after an hour at the latest. A
process that is stopped at that moment is continued first.
"""

import argparse
import json
import math
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psutil

BURST = 0.020, 0.500  # seconds, the shortest and the longest
STOP = 0.020, 0.200
STOPPED = 0.2  # seconds in which some process is stopped, for each second with a burst on a core
PROGRAMS = {  # words of the command lines of those that are stopped
    "generator": ("/locustfile.py",),
    "mock": ("mock_upstream",),
    "service": ("app_under_test", "/seeded_service.py"),
}
LONGEST = 3600.0  # seconds
_LOOK = 0.01  # seconds of work between two looks at standard input


@dataclass(slots=True)
class Made:
    """
    What was done, in monotonic seconds; filled when the block has ended.

    `bursts`: (core, begin, end, seconds of CPU that it got). `stops`: (name in `PROGRAMS`, begin,
    end).
    """

    bursts: list[tuple[int, float, float, float]] = field(default_factory=list)
    stops: list[tuple[str, float, float]] = field(default_factory=list)


@contextmanager
def noise(
    share: float, seed: int, *, cores: Iterable[int] = (), below: int | None = None
) -> Iterator[Made]:
    """
    Make noise for the length of the block.

    Args:
        share: the part of the time in which there is a burst on a core; 0: no noise at all.
        cores: those with bursts; none given: all that this process may use.
        below: descendants of this process are stopped now and then; None: nothing is.
    """
    made = Made()
    kinds = [["burst", "--core", str(core)] for core in sorted(cores or os.sched_getaffinity(0))]
    if below is not None:
        kinds.append(["stop", "--below", str(below)])
    with ExitStack() as files:
        makers = []
        try:
            for kind in kinds if share > 0 else []:
                output = files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
                process = subprocess.Popen(
                    [sys.executable, __file__, *kind, "--share", str(share), "--seed", str(seed)],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    start_new_session=True,  # Ctrl-C is for the starter, who ends this one
                )
                makers.append((process, output))
            yield made
        finally:
            for process, _ in makers:
                process.stdin.close()
            for process, output in makers:
                _end(process)
                output.seek(0)
                for line in output:
                    name, *numbers = json.loads(line)
                    (made.stops if name in PROGRAMS else made.bursts).append((name, *numbers))


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def planned(share: float, seed: int, core: int, seconds: float) -> list[tuple[float, float]]:
    """The bursts (begin, end) that `noise` makes in a time, for simulations; none is late there."""
    found, now = [], 0.0
    for pause, length in _spells(_rng("burst", core, seed), share, BURST) if share > 0 else ():
        begin = now + pause
        if begin >= seconds:
            break
        now = begin + length
        found.append((begin, min(now, seconds)))
    return found


# The processes.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["with", "burst", "stop"])
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--below", type=int)
    words = sys.argv[1:]
    ours = words[: words.index("--")] if "--" in words else words
    asked = parser.parse_args(ours)
    if asked.kind == "with":
        code = 130
        with (
            suppress(KeyboardInterrupt),
            subprocess.Popen(words[len(ours) + 1 :]) as process,
            noise(asked.share, asked.seed, below=process.pid),
        ):
            code = process.wait()
        sys.exit(code)
    rng = _rng(asked.kind, asked.core, asked.seed)
    deadline = time.monotonic() + LONGEST
    if asked.kind == "burst":
        os.sched_setaffinity(0, {asked.core})
        bursts(rng, asked.share, asked.core, deadline)
    else:
        stops(rng, asked.share * STOPPED, asked.below, deadline)


def bursts(rng: random.Random, share: float, core: int, deadline: float) -> None:
    for pause, length in _spells(rng, share, BURST):
        if _ends(pause, deadline):
            return
        begin, used = time.monotonic(), time.thread_time()
        end = begin + length
        while (now := time.monotonic()) < end and not _ends(0, deadline):
            while time.monotonic() < min(now + _LOOK, end):
                pass
        _tell(core, begin, now, time.thread_time() - used)


def stops(rng: random.Random, share: float, root: int, deadline: float) -> None:
    for pause, seconds in _spells(rng, share, STOP):
        if _ends(pause, deadline):
            return
        name = rng.choice(sorted(PROGRAMS))
        stopped = []
        begin = time.monotonic()
        try:
            for process in _running(name, root):
                with suppress(psutil.Error):
                    stopped.append(process)
                    process.suspend()
            if not stopped:  # it is not there yet
                continue
            _ends(seconds, deadline)
        finally:
            for process in stopped:
                with suppress(psutil.Error):
                    process.resume()
        _tell(name, begin, time.monotonic())


def _running(name: str, root: int) -> list[psutil.Process]:
    """The processes below one that run a program, without those that only watch over it."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(root).children(recursive=True):
            with suppress(psutil.Error):
                line = process.cmdline()
                if any(word.endswith(PROGRAMS[name]) for word in line) and not any(
                    word.endswith("/supervisor.py") for word in line
                ):
                    found.append(process)
    return found


def _rng(kind: str, core: int | None, seed: int) -> random.Random:
    return random.Random(f"{kind}/{core}/{seed}")


def _spells(
    rng: random.Random, share: float, limits: tuple[float, float]
) -> Iterator[tuple[float, float]]:
    """
    Pauses and lengths in seconds, for ever.

    All orders of magnitude of a length are as likely. Pauses are exponential, so that the spells
    take this share of the time.
    """
    shortest, longest = limits
    mean = (longest - shortest) / math.log(longest / shortest)
    rate = share / ((1 - share) * mean)
    while True:
        yield rng.expovariate(rate), shortest * (longest / shortest) ** rng.random()


def _ends(seconds: float, deadline: float) -> bool:
    """Sleep; whether standard input has ended, or the time is over."""
    ready, _, _ = select.select([sys.stdin], [], [], max(seconds, 0))
    return bool(ready) or time.monotonic() > deadline


def _tell(name: str | int, *numbers: float) -> None:
    print(json.dumps([name, *(round(number, 4) for number in numbers)]), flush=True)


if __name__ == "__main__":
    main()
