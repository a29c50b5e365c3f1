"""The ladder, and then experiments that put to the test what was named as the limit.

First the upstream's delays are times 1.0 and 0.8 in turns, in short windows at one level beyond the
knee: A B B A B A A B B A A B (Thue and Morse), which cancels what drifts. Where the limit that the
run names has a setting, the deployment is restarted with half as much again, and the same level is
played with it. What comes of both is in analysis/experiments.py.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.analysis import advice
from loadtests.analysis.causes.headline import limit_of
from loadtests.plans import CommandDeployment, Deployment, Plan, PlanError, VariantDeployment
from loadtests.plans.errors import no_such
from loadtests.recording.messages import Probe, Raised
from loadtests.recording.slices import whole_slices
from loadtests.results import Point, Run
from loadtests.schedules import Played, Schedule, Step, ladder

SCALE = 0.8  # of the upstream's delays, in every other window
TURNS = (0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1)  # two that follow each other are a pair
RAISES = 3  # windows with a raised limit
BEYOND = 2.0  # times the knee: the level of an experiment; in the open model, where a queue grows:
BEYOND_RATE = 1.3
APART = 4  # users above the knee at least
FAILING = 0.05  # of the requests: a level with more of them is not taken
SETTLE = (0.75, 1.5)  # seconds at least, and at most; in between, by the response time
WINDOW = 3.25  # seconds of a whole window, so that a deployment takes less than a minute
MEASURE = 1.75  # seconds that a window measures at least
WAITS = 1.5  # response times that a window settles for


@dataclass(slots=True)
class Why:
    """A schedule: another one's stages, then the windows of experiments."""

    names: Sequence[str]
    """The deployments whose limits are put to the test."""
    inner: Schedule = ladder
    look: Callable[[], Run] = field(default=lambda: _nothing())
    """Analyses the run so far."""
    _coming: deque[Step] = field(default_factory=deque)
    _asked: int = 0  # how often the run so far was looked at

    def expected(self, plan: Plan) -> list[Step]:
        return self.inner.expected(plan)

    def remaining(self, plan: Plan, so_far: Sequence[Played]) -> int:
        """The most stages that remain, while the levels are played."""
        climbed = [one for one in so_far if one.step.probe is None]
        each = len(TURNS) + RAISES
        to_come = (each if not self._asked else 0) * len(self.names)
        return self.inner.remaining(plan, climbed) + len(self._coming) + to_come

    def next_stage(self, plan: Plan, so_far: Sequence[Played]) -> Step | None:
        climbed = [one for one in so_far if one.step.probe is None]
        if not self._asked and (step := self.inner.next_stage(plan, climbed)) is not None:
            return step
        dead = {one.step.deployment for one in so_far if not one.alive}
        while True:
            while self._coming:
                step = self._coming.popleft()
                if step.deployment not in dead:
                    return step
            if self._asked == len(_EXPERIMENTS):
                return None
            make = _EXPERIMENTS[self._asked]
            self._asked += 1
            run = self.look()
            for name in self.names:
                self._coming += make(plan, run, name)

    def described(self) -> dict[str, Any]:
        return self.inner.described()


def why(plan: Plan, names: Sequence[str]) -> Why:
    """
    A ladder with experiments for these deployments.

    Raises:
        PlanError: one of them is not in the plan, or its upstream changes by itself.
    """
    unknown = [no_such("deployment", name, plan.deployments) for name in names]
    if any(name not in plan.deployments for name in names):
        wrong = [text for text, n in zip(unknown, names, strict=True) if n not in plan.deployments]
        raise PlanError("\n".join(wrong))
    if plan.upstream.timeline is not None:
        raise PlanError(
            "--why compares windows of one upstream, and the plan's timeline changes it: leave out "
            "the timeline, or --why"
        )
    return Why(tuple(names))


def level(plan: Plan, run: Run, name: str) -> int | None:
    """
    The level of a deployment's experiments: beyond its knee, valid, and with few failures.

    Without a knee the highest level that was; None where none was.
    """
    points = [point for point in run.of(name) if point.throughput.value]
    good = [point.level for point in points if point.valid and point.errors.rate < FAILING]
    knee = run.knees.get(name)
    if not good:
        return None
    if knee is None or knee.level is None:
        return good[0] if knee is not None and knee.high is not None else good[-1]
    if plan.load.model == "open":
        return max(min(round(BEYOND_RATE * knee.level), good[-1]), round(1.1 * knee.level))
    wanted = max(round(BEYOND * knee.level), round(knee.level) + APART)
    return min(wanted, good[-1]) if good[-1] > knee.level else round(1.5 * knee.level) + 1


def _turns(plan: Plan, run: Run, name: str) -> list[Step]:
    """The windows of the first experiment."""
    at = level(plan, run, name)
    if at is None:
        return []
    settle, measure = _lengths(plan, run.of(name), at)
    return [
        Step(
            name,
            at,
            settle=settle,
            measure=measure,
            probe=Probe(pair=index // 2, scale=(1.0, SCALE)[turn]),
        )
        for index, turn in enumerate(TURNS)
    ]


def _raises(plan: Plan, run: Run, name: str) -> list[Step]:
    """The windows of the second one; none where the limit has no setting, or was refuted."""
    knee = run.knees.get(name)
    limit = limit_of(knee, run.of(name)) if knee else None
    tried = [one for one in run.experiments if one.deployment == name]
    if limit is None or not tried or tried[0].verdict == "refuted":
        return []
    deployment = plan.deployments[name]
    setting = advice.setting(limit.resource, deployment.model_dump(mode="json"))
    sizes = [one.capacity for one in run.ceilings.get(name, []) if one.resource == limit.resource]
    before = _size(deployment, setting, sizes[0] if sizes else None)
    if setting is None or before is None:
        return []
    at = tried[0].level
    settle, measure = _lengths(plan, run.of(name), at)
    larger = Raised(name=setting, before=before, now=advice.raised(before))
    first = len(TURNS) // 2
    return [
        Step(name, at, settle=settle, measure=measure, probe=Probe(pair=first + n, raised=larger))
        for n in range(RAISES)
    ]


_EXPERIMENTS = (_turns, _raises)


def _size(deployment: Deployment, setting: str | None, capacity: float | None) -> int | None:
    """What a limit is set to in each process."""
    if setting is None:
        return None
    match deployment:
        case VariantDeployment(settings=settings):
            workers = settings.get("workers", 1)
            return settings.get(setting) or (round(capacity / workers) if capacity else None)
        case CommandDeployment(env=env):
            return int(env[setting])
    return None


def raised(deployment: Deployment, larger: Raised) -> Deployment:
    """The deployment with a larger limit."""
    match deployment:
        case VariantDeployment(settings=settings):
            changed = {"settings": settings | {larger.name: larger.now}}
        case CommandDeployment(env=env):
            changed = {"env": env | {larger.name: str(larger.now)}}
        case _:
            raise ValueError("what runs already cannot be started again")
    return deployment.model_copy(update=changed)


def _lengths(plan: Plan, points: Sequence[Point], at: int) -> tuple[float, float]:
    """Seconds to settle and to measure, by the response time that the level will have."""
    known = [point for point in points if point.throughput.value and point.valid]
    if not known:
        return SETTLE[0], MEASURE
    nearest = min(known, key=lambda point: abs(point.level - at))
    rate = nearest.throughput.value
    mean = nearest.response_time.get("mean")
    stays = at / rate if plan.load.model == "closed" else (mean.value if mean else 0.0)
    settle = whole_slices(min(max(WAITS * stays, SETTLE[0]), SETTLE[1]))
    # At its end a window waits for what is in flight.
    return settle, whole_slices(max(WINDOW - settle - stays, MEASURE))


def _nothing() -> Run:
    raise RuntimeError("nobody analyses the run so far")
