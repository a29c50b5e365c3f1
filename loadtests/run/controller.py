"""Plays a plan: decides what comes next, writes the run's folder. No gevent in this process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

from loadtests import tls
from loadtests.analysis import goals
from loadtests.analysis.goals import Length
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.knees import knees
from loadtests.analysis.points import points, slow_quantiles
from loadtests.analysis.verdicts.blocks import Block, block
from loadtests.plans import CommandDeployment, Plan, UrlDeployment
from loadtests.recording import messages as stages
from loadtests.recording.slices import LENGTH
from loadtests.results import Point
from loadtests.run.barrier import Barrier
from loadtests.run.engine_process import Engine, EngineFailed, LocustfileError
from loadtests.run.late_samples import LateSamples
from loadtests.run.service_remarks import ServiceRemarks
from loadtests.schedules import Played, Schedule, Step, ladder
from loadtests.schedules.interleaved import Interleaved, starting
from loadtests.storage.run_folder import RunFolder

BRINGING_UP = 60.0  # seconds that an engine may be silent beyond the length of a stage


class Observer(Protocol):
    """An observer of a run: a progress bar, plain lines, or none."""

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None: ...

    def measured(self, point: Point) -> None: ...

    def problem(self, text: str) -> None: ...


class StoppedByHand(Exception):
    """The test was ended from the engine's side, in the web UI or by Locust."""


@dataclass(frozen=True, slots=True)
class Targets:
    """
    Where the deployments answer, name -> URL; `dead` says who has ended since, and how.

    `restart` starts again all that was started, and changes the URLs; `probe` changes the upstream,
    and a deployment, for a window of an experiment. `barrier` is None where nothing of them can be
    read; `watch` is called with the name of the one that is measured next. `failure_words` gives
    what a deployment's log says of its failures.
    """

    urls: Mapping[str, str]
    dead: Callable[[], Mapping[str, str]]
    restart: Callable[[], None] = lambda: None
    probe: Callable[[str, stages.Probe], None] = lambda name, probe: None
    barrier: Barrier | None = None
    watch: Callable[[str], None] = lambda deployment: None
    failure_words: Callable[[str, bool], str] = lambda deployment, exceptions_only: ""


def play(
    plan: Plan,
    targets: Targets,
    engine: Engine,
    folder: RunFolder,
    observer: Observer,
    schedule: Schedule = ladder,
    since: float | None = None,
) -> list[str]:
    """
    Have the engine play stages until the schedule ends; everything goes to the folder as it comes.

    Args:
        since: when the run's command began (seconds, `monotonic`); now, when it is not given.

    Returns:
        Who died on the way: deployments, or "mock".

    Raises:
        EngineFailed: the engine is gone.
        LocustfileFailed: a handler of the locustfile raised an exception. What was measured until
            then is in the folder, in both cases.
        StoppedByHand: the test was ended in the web UI.
    """
    so_far: list[Played] = []
    dead: dict[str, str] = {}
    samples = folder.record.samples
    since = monotonic() if since is None else since
    late = LateSamples(samples)
    remarks = ServiceRemarks(plan, targets.failure_words)
    while (step := late.next_stage(schedule, plan, so_far)) is not None:
        left = schedule.remaining(plan, so_far)
        number = len(so_far)
        seconds = _seconds(plan, step, left, so_far) + _restarting(schedule, left, so_far)
        observer.begins(step, number + 1, number + left, seconds)
        begin = monotonic()
        if step.restart:
            targets.restart()
        if step.probe:
            targets.probe(step.deployment, step.probe)
        stage = stage_of(plan, step, number, targets)
        targets.watch(step.deployment)
        if targets.barrier:
            targets.barrier.before()
        most = _most(plan, step, so_far)
        length = Length(stage, step.pace, most) if step.pace else None
        record = _play_stage(stage, engine, folder, targets, length)
        usage = targets.barrier.after(stage) if targets.barrier else None
        if usage:
            folder.write(usage)
        ended = {name: text for name, text in targets.dead().items() if name not in dead}
        for name, text in ended.items():
            folder.problem(text, name)
        dead |= ended
        found = next(p for p in points([record], samples) if p.request == "all")
        observer.measured(found)
        for text in ended.values():
            observer.problem(text)
        for remark in remarks.after(found, usage) if not ended else ():
            folder.problem(remark.text)
            if remark.now:
                observer.problem(remark.text)
        alive = step.deployment not in dead
        measured, took = block(record, samples), monotonic() - begin
        learnt = played(step, record, found, measured=measured, alive=alive, seconds=took)
        needed = goals.need(record, record.stage.measure, most) if length and record.begun else None
        so_far.append(replace(learnt, since=monotonic() - since, need=needed))
        late.records.append(record)
        if isinstance(schedule, Interleaved) and (text := schedule.remark(so_far)):
            folder.problem(text)
            observer.problem(text)
        if "mock" in dead:
            break  # nothing that comes would be an answer of the upstream
    engine.send(stages.Finish())
    return list(dead)


def _seconds(plan: Plan, step: Step, stages: int, so_far: Sequence[Played]) -> float:
    """How long `count` stages such as this one take."""
    if step.settle is None or step.measure is None:
        return ladder.seconds_left(plan, so_far, stages)
    return stages * (step.settle + step.measure + ladder.SWITCHING)


def _restarting(schedule: Schedule, stages: int, so_far: Sequence[Played]) -> float:
    """How long the new starts of a comparison take that are to come."""
    if not isinstance(schedule, Interleaved):
        return 0.0
    return schedule.restarts_in(stages) * starting(so_far)


def _most(plan: Plan, step: Step, so_far: Sequence[Played]) -> float | None:
    """Answers a second that a deployment gives at most, as far as its open levels have shown."""
    if plan.load.model == "closed":
        return None
    seen = [one.point for one in so_far if one.point and one.step.deployment == step.deployment]
    return knees(seen)[step.deployment].level if seen else None


def stage_of(plan: Plan, step: Step, number: int, targets: Targets) -> stages.Stage:
    load = plan.load
    return stages.Stage(
        number=number,
        deployment=step.deployment,
        target=targets.urls[step.deployment].rstrip("/"),
        model=load.model,
        arrivals=load.arrivals,
        level=step.level,
        think_time=load.think_time,
        settle=load.settle if step.settle is None else step.settle,
        measure=_measure(plan, step),
        requests=tuple(request.spec() for request in plan.requests),
        seed=plan.seed,
        trust=_trust(plan, step.deployment),
        own_tasks=plan.locustfile is not None,
        telemetry=plan.telemetry,
        again=bool(step.again),
        probe=step.probe,
    )


def _trust(plan: Plan, name: str) -> stages.Trust:
    match plan.deployments.get(name):
        case CommandDeployment() | UrlDeployment() as one:
            ca = str(one.ca) if one.ca else None
            return stages.Trust(verify=tls.planned(one.verify, ca), ca=ca)
    return stages.Trust()


def _measure(plan: Plan, step: Step) -> float:
    if step.measure is not None:
        return step.measure
    return step.pace.longest if step.pace else plan.load.longest


def _play_stage(
    stage: stages.Stage,
    engine: Engine,
    folder: RunFolder,
    targets: Targets,
    length: Length | None,
) -> StageRecord:
    """
    Play a stage to its end, or to that of its deployment or the mock: a stranger at a port that
    became free must not get the other requests of the stage.

    Args:
        length: decides when the stage may end; None: when its time is over.
    """
    engine.send(stage)
    folder.write(stage)
    record = folder.record.latest
    assert record is not None
    longest = max((request.timeout for request in stage.requests), default=60.0)
    timeout = 2 * stage.settle + stage.measure + longest + BRINGING_UP
    dead = False
    if stage.own_tasks:
        timeout += 2 * stages.ON_START
    while not is_over(record):
        match engine.receive(timeout):
            case stages.Stopped(reason=""):
                raise StoppedByHand
            case stages.Stopped(reason=reason):
                raise EngineFailed(reason)
            case stages.LocustfileFailed(text=text):
                raise LocustfileError(text)
            case (
                stages.StageStarted()
                | stages.Measured()
                | stages.Report()
                | stages.GeneratorDone()
                | stages.GeneratorLost() as message
            ):
                if message.stage != stage.number:
                    continue
                folder.write(message)
                if targets.barrier and stage.own_tasks and isinstance(message, stages.StageStarted):
                    targets.barrier.before()  # again: on_start is no part of the stage
                if isinstance(message, stages.Report):
                    measure = length.after(record, message) if length else None
                    if not dead and targets.dead().keys() & {stage.deployment, "mock"}:
                        dead, length = True, None
                        measure = LENGTH  # the least; the generators may need longer
                    if measure is not None:
                        engine.send(stages.Enough(stage=stage.number, measure=measure))
            case other:
                raise EngineFailed(f"the load generator sent {other!r} in the middle of a stage")
    return record


def is_over(record: StageRecord) -> bool:
    """Every generator has had its last word, or the stage never came up."""
    if record.begun is None:
        return bool(record.losts)
    heard = record.dones.keys() | {lost.generator for lost in record.losts}
    return record.begun.generators.keys() <= heard


def played(
    step: Step,
    record: StageRecord,
    found: Point,
    *,
    measured: Block | None = None,
    alive: bool = True,
    seconds: float = 0.0,
) -> Played:
    """What a schedule learns of a stage, from its record and its point of all requests."""
    p95 = found.response_time.get("p95") or found.response_time.get("mean")
    slow = slow_quantiles([record], found.noise)
    return Played(
        step,
        p95.value if p95 else None,
        found.errors.rate,
        alive,
        found,
        slow,
        measured,
        seconds,
        measured=record.stage.measure,
    )
