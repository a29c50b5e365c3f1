"""What must hold after a trial of the chaos campaign, and what came of it in a few words."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests import results
from loadtests.analysis.checks.noise import USEFUL
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.verdicts.blocks import block
from loadtests.results import Run, UnreadableRun
from tests.support.brownout_runs import called, calm
from tests.support.chaos_play import Disturbance, Played, latest
from tests.support.chaos_trials import CLEANED, STARTED, Trial

TOUCH = 0.1  # seconds of a window; what overlaps it by less is not seen in its numbers
SERVES = {"deployment": ("direct",), "child": ("shell",)}
EVERYWHERE = ("engine", "worker", "mock")
"""
Processes that a request passes through. The others are not part of what is measured: a controller
only decides and samples, a supervisor sleeps, and a shell waits for its child.
"""

LADDERS = ("run", "workers", "locust")
"""Commands with a stage for each deployment and level, whose exit code says what came of it."""
STAGES = 4  # of those: two deployments at two levels

LOCUSTS_OWN = re.compile(
    r"Traceback .*\n(  .*\n)*?  .* in monitor_cpu_and_memory\n(  .*\n)*OSError: \[Errno 24\]"
)
"""The traceback of Locust, without descriptors, when it reads its own CPU every five seconds."""

# By what was done: words of which the output or the run has one, if the run was harmed by it.
NAMED = {
    "kill": r"SIGKILL|exit code 137|the load generator is gone|not complete",
    "term": r"SIGTERM|Interrupted|the load generator is gone|exit code|not complete",
    "stop": r"was stopped|has been silent|did not come up|did not become ready|not complete",
    "descriptors": r"descriptor|[Oo]pen files",
    "disk": r"cannot be written|disk is full",
}
FINE, FAILED, NOT_MEASURABLE, DIED, INTERRUPTED = 0, 1, 3, 4, 130


@dataclass(frozen=True, slots=True)
class Judged:
    """
    What came of a trial.

    `target` is the process that it was done to, `phase` when, `code` the exit code, `touched` the
    stages whose windows it overlapped; `failures` says what should not have been.
    """

    trial: Trial
    target: str
    phase: str
    code: int | None
    touched: int
    came: str
    failures: list[str]

    @property
    def good(self) -> bool:
        return not self.failures


def judge(played: Played) -> Judged:
    """Check everything that is asked of a trial."""
    failures = _leaves_nothing(played)
    record, run, said = _reported(played, failures)
    phase = _phase(played.disturbance, record)
    failures += _ends(played, _loses(played.disturbance, record))
    points, touched = [], []
    if record and run:
        touched = [stage for stage in record.stages if _touched(stage, played.disturbance)]
        points = [point for point in run.points if point.request == "all"]
        failures += _finishes(played, run)
        failures += _keeps(played, record)
        failures += _believes(played, record, run, touched)
    text = "\n".join([played.output, said, *(_words(run) if run else [])])
    harmed = played.code not in (FINE, *_usual(played.trial.command))
    if played.trial.act == "descriptors":  # connections that are open already stay so
        harmed = harmed or any(block(stage, []).kinds for stage in touched)
    else:
        harmed = harmed or bool(touched)
    failures += _names(played, text, harmed)
    came = (
        f"exit {played.code}, {run.status if run else 'no run'}, {len(points)} points, "
        f"{sum(point.valid for point in points)} valid, {len(touched)} touched"
    )
    found = played.disturbance
    target = found.target if found else played.trial.target
    return Judged(played.trial, target, phase, played.code, len(touched), came, failures)


def _phase(disturbance: Disturbance | None, record: Record | None) -> str:
    if disturbance is None:
        return "not reached"
    windows = [stage.window for stage in record.stages if stage.window] if record else []
    if not windows or disturbance.begin < min(start for start, _ in windows):
        return "starting"
    return "measuring" if disturbance.begin < max(end for _, end in windows) else "ending"


def _usual(command: str) -> tuple[int, ...]:
    """What a command ends with when nothing is done to it, on a busy machine too."""
    return (INTERRUPTED, FINE) if command == "ui" else (FINE, NOT_MEASURABLE)


def _loses(disturbance: Disturbance | None, record: Record | None) -> bool:
    """
    Whether the end of a process is seen in what is measured.

    A service that is asked to end in the last window, which is another one's, may take longer.
    """
    if disturbance is None or record is None or _phase(disturbance, record) != "measuring":
        return False
    starts = [stage.window[0] for stage in record.stages if stage.window]
    if disturbance.begin < max(starts):
        return True
    return any(_touched(stage, disturbance) for stage in record.stages)


def _ends(played: Played, loses: bool) -> list[str]:
    """The command ends, with an exit code that docs/ci.md has for this."""
    trial, found = played.trial, played.disturbance
    failures = []
    if "Traceback (most recent call last)" in LOCUSTS_OWN.sub("", played.output):
        failures.append("there is a traceback in the output")
    if played.code is None:
        return [*failures, "it did not end"]
    allowed = set(_usual(trial.command))
    if found is not None:
        allowed |= _codes(trial, found.target)
        if (trial.command, trial.act, found.target) == ("ui", "kill", "engine"):
            allowed -= {FINE} if len(found.saved) < STAGES else set()
    if found is not None and loses and trial.command in LADDERS:
        allowed &= _codes_of_a_loss(trial, found.target) or allowed
    asked = found is not None and trial.act == "term" and found.target == "controller"
    # Before the handlers are there, and after they are gone, when nothing is to be lost.
    if (
        asked
        and played.code in (-15, 143)
        and all((run / "run.json").exists() for run in played.runs)
    ):
        return failures
    if played.code not in allowed:
        failures.append(f"exit code {played.code}, not one of {sorted(allowed)}")
    return failures


def _codes(trial: Trial, target: str) -> set[int]:
    """The exit codes that are right, in addition to the usual ones."""
    first = "engine" if trial.command == "locust" else "controller"  # whose code it is
    match trial.act, target:
        case "kill", _ if target == first:
            return {-9}
        case "kill", "controller":  # of plain Locust
            return {NOT_MEASURABLE}
        case "term", "controller" | "engine":
            return {INTERRUPTED, NOT_MEASURABLE}
        case "kill" | "term", "engine" | "worker":
            return {NOT_MEASURABLE}
        case "kill" | "term", _:
            return {DIED, NOT_MEASURABLE}
        case "stop", _:
            return {NOT_MEASURABLE, DIED}
        case "disk", _:
            return {NOT_MEASURABLE, DIED}  # a service that cannot write its log ends
        case "descriptors", "deployment" | "child" | "shell":
            return {FAILED, DIED, NOT_MEASURABLE}  # its own failures are measured
        case "descriptors", _:
            return {DIED, NOT_MEASURABLE}
    return set()


def _codes_of_a_loss(trial: Trial, target: str) -> set[int]:
    """The only exit codes that are right where it ended what was measured; empty: any."""
    if trial.act not in ("kill", "term") or (trial.command, target) == ("locust", "engine"):
        return set()
    if target in ("mock", "deployment", "shell", "child"):
        return {DIED}
    return {NOT_MEASURABLE, INTERRUPTED} if target == "engine" else set()


def _leaves_nothing(played: Played) -> list[str]:
    failures = [f"a process is left: {text}" for text in played.left]
    failures += [f"port {port} is still open" for port in played.listening]
    # What is killed cannot remove its own drafts; its supervisors remove the rest.
    killed = played.code == -9
    left = [name for name in played.files if not (killed and Path(name).name.startswith("."))]
    if left:
        failures.append(f"files are left: {', '.join(left[:5])}")
    started, cleaned = (_lines(played.folder / name) for name in (STARTED, CLEANED))
    # Without descriptors the stop command fails, and the output says so.
    if cleaned < started and "the stop command of shell ended with" not in played.output:
        failures.append(f"{started} starts of the shell, {cleaned} stop commands")
    return failures


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _reported(played: Played, failures: list[str]) -> tuple[Record | None, Run | None, str]:
    """The latest run as `brownout report` reads it, and what that prints."""
    record = latest(played.folder)
    if record is None:
        if not _too_early(played):
            failures.append(f"exit code {played.code}, and there is no run")
        return None, None, ""
    path = max(p.parent for p in (played.folder / "runs").glob("*/slices.jsonl"))
    try:
        code, report = called("report", str(path), cwd=played.folder)
    except Exception as error:
        failures.append(f"`brownout report` fails: {error!r}")
        return record, None, ""
    if code != 0:
        failures.append(f"`brownout report` ends with {code}: {report.output[-300:]}")
    run = None
    with suppress(UnreadableRun):
        run = results.read(path)
    if run is None:
        failures.append("run.json cannot be read")
    return record, run, report.output


def _too_early(played: Played) -> bool:
    """
    Nothing had been measured yet when it was disturbed, and the command does not say that it
    measured anything: there need not be a run. Nobody starts a test in a web UI that is gone.
    """
    if played.disturbance is None or played.disturbance.saved:
        return False
    return played.trial.command == "ui" or played.code not in (FINE, FAILED)


def _finishes(played: Played, run: Run) -> list[str]:
    """A run that ends well is complete, and has a point for each stage of its plan."""
    if played.trial.command not in LADDERS or played.code != FINE:
        return []
    points = sum(point.request == "all" for point in run.points)
    if run.status == "complete" and points == STAGES:
        return []
    return [f"exit code 0, and the run is {run.status} with {points} of {STAGES} points"]


def _keeps(played: Played, record: Record) -> list[str]:
    """What was on disk when it happened is still there."""
    if played.disturbance is None:
        return []
    complete = {stage.stage.number for stage in record.stages if stage.complete}
    lost = set(played.disturbance.saved) - complete
    return [f"stages {sorted(lost)} were complete, and are lost"] if lost else []


def _overlap(stage: StageRecord, disturbance: Disturbance) -> float:
    if stage.window is None:
        return 0.0
    start, end = stage.window
    return min(end, disturbance.end) - max(start, disturbance.begin)


def _touched(stage: StageRecord, disturbance: Disturbance | None) -> bool:
    """Whether its window overlaps what was done to a process that its requests pass through."""
    if disturbance is None or _overlap(stage, disturbance) < TOUCH:
        return False
    names = SERVES.get(disturbance.target, ())
    return disturbance.target in EVERYWHERE or stage.stage.deployment in names


def _believes(played: Played, record: Record, run: Run, touched: list[StageRecord]) -> list[str]:
    """No stage that was touched counts, and nothing that is measured twice is found different."""
    act = played.trial.act
    failures = [
        f"{one.b} is {one.verdict} compared with {one.a}, and they are the same service"
        for one in run.verdicts
        if one.verdict in ("BETTER", "WORSE")
    ]
    if act in ("clock", "disk"):
        return failures  # neither is part of a request
    for stage in touched:
        if act == "stop" and _overlap(stage, played.disturbance) <= USEFUL * stage.stage.measure:
            continue  # its intervals have it
        with calm(stops=True):  # that the machine was busy, too, must not be why it does not count
            found = block(stage, record.samples)
        if act == "descriptors" and (not found.kinds or found.deployment in _own(played)):
            continue  # no connection was opened meanwhile; or the service itself failed
        if act == "term" and _serves(played) and not found.kinds:
            continue  # a server that is asked to end answers what is in flight, as in every window
        level = f"{stage.stage.deployment} at {stage.stage.level} (stage {stage.stage.number})"
        if not found.wrong and not found.disturbed:
            failures.append(f"{level} was touched, and is believed")
        elif played.trial.command in (*LADDERS, "ui"):
            place = (stage.stage.deployment, stage.stage.level, "all")
            if any(p.valid for p in run.points if (p.deployment, p.level, p.request) == place):
                failures.append(f"the point of {level} was touched, and is valid")
    return failures


def _serves(played: Played) -> bool:
    """Return whether it was done to a server, which answers or fails."""
    return played.disturbance is not None and played.disturbance.target in ("mock", *SERVES)


def _own(played: Played) -> tuple[str, ...]:
    """Deployments whose own failures are what was measured."""
    return SERVES.get(played.disturbance.target, ()) if played.disturbance else ()


def _words(run: Run) -> list[str]:
    return [
        *run.problems,
        *(text for point in run.points for text in point.problems),
        *(f"{kind}" for point in run.points for kind in point.errors.kinds),
        *(one.sentence for one in run.verdicts),
    ]


def _names(played: Played, text: str, harmed: bool) -> list[str]:
    """Whatever was harmed has its cause named."""
    trial, disturbance = played.trial, played.disturbance
    if disturbance is None or trial.act not in NAMED or not harmed:
        return []
    if played.code == -9:
        return []  # it could say nothing; its run says that it was cut short
    if trial.act == "term" and disturbance.target == "controller":
        return []  # asked to end, it ends
    named = NAMED[trial.act]
    if trial.act == "descriptors" and _own(played):
        named += "|failed|did not become ready"  # its own failures, as seen from outside
    if re.search(named, text):
        return []
    return [f"the cause is not named: {played.output[-300:]!r}"]
