"""The chaos campaign: real runs in which one process is killed, stopped, starved or misled.

    python tests/benchmarks/chaos.py [--trials 100] [--seed 1] [--jobs 1] [--only ACT]
    python tests/benchmarks/chaos.py --replay SEED/NUMBER [--keep FOLDER]

Each trial is a run as a user starts it (`run`, `compare`, `capacity`, `ui`, `run --processes 2`,
plain Locust), in which at a random moment of its life one process of all gets SIGKILL, SIGTERM or,
for 1 to 20 s, SIGSTOP; or the disk fills; or a process runs out of descriptors; or its clock, and
no other, steps by an hour (tests/support/chaos_clock.c). Asked, of every trial: a documented exit
code, the cause in words, everything measured until then in the folder and readable by `brownout
report`, no process, port or temporary file left, and no stage that counts whose window was touched.

A trial that fails prints how to play it again. The moment is a part of the command's usual life,
which is measured first, so a replay is alike and not the same.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))

from tests.support.chaos_checks import Judged, judge
from tests.support.chaos_play import play
from tests.support.chaos_surroundings import compile_clock
from tests.support.chaos_trials import ACTS, COMMANDS, Trial, drawn, undisturbed

AGAIN = 4  # times that a trial is played whose command ends before its moment
SOONER = 0.7  # times its moment, each time
LONGEST_LIFE = 180.0  # seconds that a command takes, undisturbed, on a very busy machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", choices=(*ACTS, *COMMANDS), help="trials of one act or command")
    parser.add_argument("--replay", metavar="SEED/NUMBER")
    parser.add_argument(
        "--keep",
        type=lambda text: Path(text).absolute(),
        help="keep the folders of all trials here",
    )
    parser.add_argument("--minutes", type=float, help="start no trial after this time")
    arguments = parser.parse_args()
    if arguments.replay:
        trials = [drawn(*map(int, arguments.replay.split("/")))]
    else:
        numbers = range(arguments.first, arguments.first + arguments.trials)
        trials = [drawn(arguments.seed, number) for number in numbers]
    if arguments.only:
        trials = [trial for trial in trials if arguments.only in (trial.act, trial.command)]
    with tempfile.TemporaryDirectory() as folder:
        base = arguments.keep or Path(folder)
        base.mkdir(parents=True, exist_ok=True)
        good = campaign(_possible(trials, base), base, arguments.jobs, arguments.minutes)
    sys.exit(not good)


def _possible(trials: list[Trial], base: Path) -> list[Trial]:
    """The trials without those that cannot be played on this machine."""
    if compile_clock(base) is not None:
        return trials
    print("skipped: clock, because there is no C compiler")
    return [trial for trial in trials if trial.act != "clock"]


def campaign(trials: list[Trial], base: Path, jobs: int, minutes: float | None) -> bool:
    """Play them all and print the table; returns whether all were good."""
    began = time.monotonic()
    until = began + 60 * minutes if minutes else float("inf")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        commands = [name for name in COMMANDS if name in {trial.command for trial in trials}]
        controls = [
            pool.submit(one, undisturbed(name), base, LONGEST_LIFE, until) for name in commands
        ]
        lives, failed = {}, []
        for name, control in zip(commands, controls, strict=True):
            judged, took = control.result()
            lives[name] = took
            _show(judged, took)
            failed += [judged] if not judged.good else []
        going = [pool.submit(one, trial, base, lives[trial.command], until) for trial in trials]
        played = []
        for future in going:
            judged, took = future.result()
            if judged is not None:
                played.append(judged)
                _show(judged, took)
    failed += [judged for judged in played if not judged.good]
    _show_table(played)
    took = (time.monotonic() - began) / 60
    print(f"\n{len(played)} of {len(trials)} trials played in {took:.0f} min, {len(failed)} failed")
    for judged in failed:
        print(f"\n{judged.trial.name}: {judged.trial.command}, {judged.trial.described}")
        for text in judged.failures:
            print(f"  {text}")
        print(f"  again: python tests/benchmarks/chaos.py --replay {judged.trial.name}")
    return not failed


def one(trial: Trial, base: Path, life: float, until: float) -> tuple[Judged | None, float]:
    """Play one trial; None if the time is over."""
    if time.monotonic() > until:
        return None, 0.0
    when = trial.when
    for attempt in range(AGAIN):
        folder = base / f"{trial.seed}-{trial.number}-{trial.command}-{attempt}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if (library := base / "clock.so").exists():
            (folder / "clock.so").symlink_to(library)
        try:
            played = play(trial, folder, life * when / trial.when if trial.when else life)
            judged = judge(played)
        except Exception:
            text = traceback.format_exc()
            said = "the trial itself failed"
            return Judged(trial, trial.target, "", None, 0, said, [text]), 0.0
        (folder / "output.txt").write_text(played.output, encoding="utf-8")
        if played.disturbance is not None or trial.act == "none":
            break
        when *= SOONER
    else:
        judged.failures.append(f"its moment did not come in {AGAIN} attempts")
    return judged, played.took


def _show(judged: Judged, took: float) -> None:
    trial = judged.trial
    mark = "ok  " if judged.good else "FAIL"
    print(
        f"{mark} {trial.name:>7} {trial.command:8} {trial.described:44} {judged.phase:11} "
        f"{took:5.1f} s  {judged.came}",
        flush=True,
    )


def _show_table(played: list[Judged]) -> None:
    """What was done to which process, and how it ended."""
    kinds = defaultdict(list)
    for judged in played:
        kinds[judged.trial.act, judged.target].append(judged)
    print(f"\n{'act':12} {'on':11} {'s/m/e':>10}   {'exit codes':32} {'touched':>7} {'failed':>6}")
    print("s/m/e: trials before the first window, from there to the last one, and after it")
    for (act, target), those in sorted(kinds.items()):
        phases = Counter(judged.phase for judged in those)
        when = "/".join(str(phases[phase]) for phase in ("starting", "measuring", "ending"))
        codes = Counter(judged.code for judged in those)
        shown = ", ".join(f"{code} ({count})" for code, count in codes.most_common())
        touched = sum(judged.touched for judged in those)
        failed = sum(not judged.good for judged in those)
        print(f"{act:12} {target:11} {when:>10}   {shown:32} {touched:7} {failed:6}")


if __name__ == "__main__":
    main()
