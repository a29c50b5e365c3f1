"""A fuzzer: gives many broken inputs to a reader in its own process, and keeps what went wrong.

Nine inputs of ten come from a mutator over valid ones, the rest from a hypothesis strategy. Wrong
are: an exception that the reader does not document, more than LIMIT_SECONDS of CPU for one input,
more than LIMIT_BYTES of memory, the death of the process, and a message that helps no user.
"""

import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import psutil
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from tests.support.mutator import LONGEST, Mutator

LIMIT_SECONDS = 1.0  # of CPU
LIMIT_BYTES = 200_000_000  # of memory
LONGEST_LINE, MOST_LINES = 1000, 100  # of a message
GENERATED = 0.1  # share of the inputs that hypothesis makes
SHRINKING = 200  # attempts
STUCK = 3 * LIMIT_SECONDS  # of CPU without an end: nothing but SIGKILL ends such a call
MEMORY = "/dev/shm"  # files of targets lie there, where there is such a folder
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Target:
    """
    A reader under test.

    Args:
        play: gives the reader an input; True if it was accepted, False if it was refused as
            documented. Anything that it raises is wrong.
        corpus: valid inputs.
        strategy: makes inputs.
        words: what the mutator inserts besides oddities.
    """

    play: Callable[[bytes], bool]
    corpus: Sequence[bytes]
    strategy: st.SearchStrategy[bytes]
    words: Sequence[str] = ()


@dataclass(slots=True)
class Wrong:
    """One way in which it went wrong, with the shortest input that shows it."""

    what: str
    data: bytes
    times: int = 1


@dataclass(slots=True)
class Outcome:
    """What came of the inputs of one target; seconds of CPU and bytes."""

    inputs: int = 0
    accepted: int = 0
    slowest: float = 0.0
    grown: int = 0
    wrong: dict[str, Wrong] = field(default_factory=dict)

    def note(self, what: str, data: bytes) -> None:
        known = self.wrong.setdefault(what, Wrong(what, data, 0))
        known.times += 1
        known.data = min(known.data, data, key=len)

    def add(self, other: "Outcome") -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.slowest = max(self.slowest, other.slowest)
        self.grown = max(self.grown, other.grown)
        for wrong in other.wrong.values():
            self.note(wrong.what, wrong.data)
            self.wrong[wrong.what].times += wrong.times - 1


class Unfit(Exception):
    """A message that is not a sentence for a user, or a result that cannot be."""


class Hang(BaseException):
    """An input takes too long; no `except Exception` stops it."""


def check_message(error: object) -> None:
    """Raises Unfit where the message of a documented error helps nobody."""
    text = str(error)
    lines = text.splitlines()
    if not text.strip():
        why = "an empty message"
    elif "Traceback (most recent" in text:
        why = "a traceback in a message"
    elif len(lines) > MOST_LINES:
        why = f"a message of more than {MOST_LINES} lines"
    elif max(map(len, lines)) > LONGEST_LINE:
        why = f"a message with a line of more than {LONGEST_LINE} characters"
    else:
        return
    raise Unfit(why) from (error if isinstance(error, BaseException) else None)


def fuzz(make: Callable[[], Target], seed: int, inputs: int) -> Outcome:
    """
    Play a number of inputs to a target, in processes of their own; one that dies is replaced.

    Args:
        make: a function of a module, which the processes call to make the target.
    """
    # Of this process: the others end without tidying up.
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        return _fuzz(make, seed, inputs, folder)


def _fuzz(make: Callable[[], Target], seed: int, inputs: int, folder: str) -> Outcome:
    whole = Outcome()
    # All of them come from one process that has imported what takes longer than to play.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.fuzz_targets"])
    attempt = 0
    while whole.inputs < inputs:
        current = context.RawArray("B", LONGEST + 8)
        played = context.RawValue("Q", 0)
        receiver, sender = context.Pipe(duplex=False)
        drawn = seed + 1_000_003 * attempt
        arguments = make, drawn, inputs - whole.inputs, folder, current, played, sender
        child = context.Process(target=_child, args=arguments)
        child.start()
        sender.close()
        stuck = _watched(child, played, receiver)
        try:
            part = receiver.recv()
        except EOFError:
            if not played.value:
                raise RuntimeError(f"{make.__name__} cannot be made; the reason is above") from None
            child.join()
            data = _current(current)
            part = Outcome(inputs=max(played.value, 1))
            how = f"takes over {STUCK:g} s" if stuck else f"ends the process ({child.exitcode})"
            part.note(how, data)
        receiver.close()
        child.join()
        whole.add(part)
        attempt += 1
    return whole


def _watched(child: Any, played: Any, receiver: Any) -> bool:
    """Wait for the outcome; True: a call never came back, and the process was killed."""
    process = psutil.Process(child.pid)
    known, since = -1, 0.0
    while not receiver.poll(0.5):
        try:
            used = sum(process.cpu_times()[:2])
        except psutil.Error:
            return False
        if played.value != known:
            known, since = played.value, used
        elif known and used - since > STUCK + SHRINKING * LIMIT_SECONDS * (known == _SHRINKS):
            child.kill()
            return True
    return False


_SHRINKS = 2**63  # in place of the count of played inputs, once they are


def _child(
    make: Callable[[], Target],
    seed: int,
    inputs: int,
    folder: str,
    current: Any,
    played: Any,
    sender: Any,
) -> None:
    tempfile.tempdir = folder
    signal.signal(signal.SIGPROF, _hangs)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    target = make()
    for data in target.corpus:
        assert target.play(data), f"not a valid input: {data!r:.300}"
    outcome = Outcome()
    memory = Memory()
    whole = _virtual() + 2 * LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (whole, resource.RLIM_INFINITY))

    def play(data: bytes) -> None:
        data = data[:LONGEST]
        current[8 : 8 + len(data)] = data
        current[:8] = len(data).to_bytes(8, "little")
        played.value += 1
        outcome.inputs += 1
        memory.begin()
        what, accepted, took = _played(target, data)
        grown = memory.grown()
        outcome.accepted += accepted
        outcome.slowest = max(outcome.slowest, took)
        if grown > LIMIT_BYTES and not what:
            what = f"takes over {LIMIT_BYTES / 1e6:.0f} MB"
        outcome.grown = max(outcome.grown, grown)
        if what:
            outcome.note(what, data)

    generated = int(inputs * GENERATED)
    extra = _generate(target, seed, generated, play)
    mutator = Mutator(random.Random(seed), target.corpus, extra, target.words)
    for _ in range(inputs - generated):
        play(mutator.mutated())
    played.value = _SHRINKS
    for wrong in outcome.wrong.values():
        if not wrong.what.startswith("takes"):
            wrong.data = _shrunk(target, wrong)
    sender.send(outcome)


def _generate(target: Target, seed: int, count: int, play: Callable[[bytes], None]) -> list[bytes]:
    """Play what hypothesis makes; some of it is for the mutator."""
    kept: list[bytes] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=max(count, 1),
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @hypothesis.given(target.strategy)
    def each(data: bytes) -> None:
        if len(kept) < 200:
            kept.append(data)
        play(data)

    if count:
        each()
    return kept


def _played(target: Target, data: bytes) -> tuple[str, bool, float]:
    """What is wrong, or nothing; whether it was accepted; and seconds of CPU."""
    what, accepted = "", False
    began = time.process_time()
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)
            accepted = target.play(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except Hang as error:
        what = f"takes over {LIMIT_SECONDS:g} s in {_place(error)}"
    except BaseException as error:
        what = f"{type(error).__name__} in {_place(error)}"
        if isinstance(error, Unfit):
            what = f"{str(error)[:120]}, in {_place(error.__cause__ or error)}"
    took = time.process_time() - began
    if took > LIMIT_SECONDS and not what:
        what = f"takes over {LIMIT_SECONDS:g} s"
    return what, accepted, took


def _place(error: BaseException) -> str:
    """The innermost function of ours in which it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        f for f in frames if Path(f.filename).is_relative_to(ROOT) and ".venv" not in f.filename
    ]
    ours = [f for f in ours if "/tests/" not in f.filename] or frames[-1:]
    return f"{Path(ours[-1].filename).name} {ours[-1].name}" if ours else "?"


def _hangs(signum: int, frame: object) -> None:
    raise Hang


def _shrunk(target: Target, wrong: Wrong) -> bytes:
    """The input with what can be left out of it left out."""
    data, piece, left = wrong.data, max(len(wrong.data) // 2, 1), SHRINKING
    while piece and left:
        at = 0
        while at < len(data) and left:
            shorter = data[:at] + data[at + piece :]
            left -= 1
            if _played(target, shorter)[0] == wrong.what:
                data = shorter
            else:
                at += piece
        piece //= 2
    return data


def _current(current: Any) -> bytes:
    length = int.from_bytes(bytes(current[:8]), "little")
    return bytes(current[8 : 8 + length])


class Memory:
    """The momentary growth of this process's memory, by Linux's own high-water mark."""

    def __init__(self) -> None:
        self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY)
        self._status = os.open("/proc/self/status", os.O_RDONLY)
        self._before = 0

    def begin(self) -> None:
        os.pwrite(self._reset, b"5", 0)
        self._before = self._peak()

    def grown(self) -> int:
        """Bytes since `begin`, at most at any time."""
        return self._peak() - self._before

    def _peak(self) -> int:
        return 1024 * int(os.pread(self._status, 4096, 0).partition(b"VmHWM:")[2].split()[0])


def _virtual() -> int:
    return psutil.Process().memory_info().vms
