"""What a run found, as report, compare and other programs read it: `run.json`, versioned.

Seconds, requests per second, bytes, ratios. What was not measured is null, never zero.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests import foreign_files
from loadtests.exit_codes import Failure
from mock_upstream.units.documents import from_json

_MOST = 1e18  # seeds are whole numbers of any size below it, byte counts far smaller
FORMAT: Final = "brownout-run/2"
LONGEST_NAME = 60  # characters of another format's name in a message
Level = Annotated[int, Field(ge=1)]
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Result(BaseModel):
    model_config = ConfigDict(frozen=True)


class Estimate(Result):
    """A value with its 95 % interval; the ends are null when the data do not give one."""

    value: float
    low: float | None = None
    high: float | None = None


class Errors(Result):
    """
    `rate`: failures over all requests of the point. `kinds`: counts, e.g. {"503": 12}.

    `effective`: the number of independent requests that tell as much of the rate; fewer than the
    requests where failures come in bursts. Null in runs of older versions.

    `unanswered`: users of the closed model that wait in vain from one moment on until the window
    ends: of each of them only one request fails, however long it waits.
    """

    rate: float
    effective: float | None = None
    unanswered: int = 0
    kinds: dict[str, int] = {}


Resource = Literal[
    "threads",  # tokens that `def` routes wait for
    "pool",  # connections of a client's pool
    "concurrency-limit",  # at most N at a time: a semaphore, or a limit that is not known
    "loop",  # an event loop that something blocks
    "cpu",  # of the service
    "churn",  # connections, or whole clients, opened for each call: CPU that need not be spent
    "retries",  # calls that are sent again, and load what fails already
    "upstream",  # its own capacity, or its rate limit
    "refusals",  # the service turns requests away itself
    "lock-up",  # requests that wait for each other: nothing runs, and nothing is answered
    "generator",
    "mock",
    "host",
    "unknown",  # something binds, and the evidence does not say what
]


class Ceiling(Result):
    """
    The throughput that one resource permits, predicted from settings and from the lowest level.

    `throughput` in requests per second; `how` says what it was computed from, e.g.
    "40 threads / 52.3 ms". Where more was measured than that gives, within what chance allows,
    `throughput` is what was measured, and `predicted` the prediction; null otherwise. `loaded` is
    the ceiling with what a request takes at the lowest level beyond the knee, null where that is
    not known; `finding` says in words by how much the two differ, where they do. `capacity`: how
    much there is of the resource, e.g. 40 (threads of all workers); null for a rate limit.
    """

    resource: Resource
    throughput: float
    how: str
    predicted: float | None = None
    capacity: float | None = None
    loaded: float | None = None
    finding: str | None = None


class Limit(Result):
    """
    The resource that binds: `utilisation` in [0, 1], `ceiling` in requests per second.

    `why` is one sentence with its numbers, `next` another one: what binds next were this one
    lifted. `advice`: what to change, and what that would give. `experiment`: what an experiment
    said of it, in words; see Experiment. `evidence`: what was seen, as (what, value in words).
    `source`: "telemetry" of the service, or only what is seen from "outside".
    """

    resource: Resource
    utilisation: float | None = None
    ceiling: float | None = None
    why: str
    next: str | None = None
    advice: str | None = None
    experiment: str | None = None
    evidence: list[tuple[str, str]] = []
    source: Literal["telemetry", "outside"] = "outside"


class Outside(Result):
    """
    What the threads of a deployment did, as a process saw that looked at them from outside.

    `looks` at the main threads of the `loops` processes that serve with an event loop; of all its
    processes where `loops` is 0. `main`: the share of these looks by what the thread did (see
    loadtests.watcher.states). `threads`: the mean number of all other threads, without those that
    do something while nothing is asked; `busy` is the mean number that works or waits for an
    answer, `most` the highest.
    """

    looks: int
    loops: int
    main: dict[str, float]
    threads: float = 0.0
    busy: float = 0.0
    most: int = 0


class Users(Result):
    """
    The users of a locustfile at one level: how many were in a task (`running`), between two tasks
    (`waiting`) and still in on_start (`starting`), and how many of the level had `stopped`; means.
    `classes`: how many there were of each User class.
    """

    running: float
    waiting: float
    starting: float
    stopped: float
    classes: dict[str, float] = {}


class EventsApart(Result):
    """
    Events of a locustfile at one level that are no requests of its tasks, of one name.

    `kind`: "on_start", requests that users sent before the stage began; "timing", events of a
    request type that counts as no request, in the window; or "background", requests in the window
    that no user sent. `values`: p50, p95, p99 and mean of the
    response_time that was reported, as it was: milliseconds, or any other unit.
    """

    deployment: str
    level: Level
    kind: Literal["on_start", "timing", "background"]
    request_type: str
    name: str
    count: int
    failed: int = 0
    per_second: float | None = None
    values: dict[str, float] = {}


class Traced(Result):
    """
    Mean service times of the requests that were traced and of the `others`, in seconds, of the
    same quarter seconds. `difference`: by which part of theirs the traced ones are longer.
    """

    requests: int
    time: float
    others: float
    difference: Estimate


class Point(Result):
    """
    The answer for one (deployment, level, request); request "all" takes them together.

    Times are of successful requests; failures are in `errors`. `response_time` counts from the
    moment when a request was meant to start, `service_time` from when it was sent; they differ in
    the open model alone. Both have the keys p50, p95, p99 and mean; a quantile without enough
    requests behind it is null. `in_flight` is the mean number of requests in flight (by Little's
    law the level less those who think). `problems` says in words what is wrong with the point;
    `valid` is False when it must not be used.

    `response_time_with_failures`: p50, p95 and p99 of the response time over all requests, a
    failure being infinitely slow; null where that is infinite, or not known. Empty without
    failures, when it is `response_time`.

    `phases`: for "mean", "p50" and "p95" the seconds that such responses spend in each phase, named
    as in loadtests.recording.phases, with "rest" for what no phase accounts for; they add up to the
    time of the traced responses. Empty when the service does not tell, or nonsense.
    `phases_interval` has the 95 % interval of each, low and high, where it is known. `traced`
    compares the requests that were traced with the others; null where nearly all were, or too few.
    `limit`: what holds throughput back at this level; null while it follows the load.

    `statuses` of the successes, e.g. {"200": 1200}; `size`: the mean of their bodies in bytes;
    `calls`: of the upstream for each request of the level. Empty or null in runs of older versions,
    and `calls` where they were not counted.

    `steady`: "steady"; "drifting" (a trend that has not come to an end); "over-saturated" (requests
    in flight or response times grow to the end: more comes than is answered, and all times are null
    as they would only tell how long the test was); "unsteady" (it jumps between states); null when
    the window is too short to tell. `warmup_dropped`: seconds of the window, at its beginning, that
    were still moving and are left out.

    `noise`: how much of an interval is what disturbances can have done, at most: the requests a
    second that "throughput" can be higher without them, and the seconds that "mean", "p50", "p95"
    and "p99" can be lower. Without what did not move it. `left_out`: seconds of the window in which
    too much was taken from the service, the mock or the generator; they are in no number. `noisy`:
    it is not valid for its noise alone, which is more than is useful; its intervals still hold.

    Of a locustfile, and request "all" alone: `users`; `other_mix`, True where the mix of User
    classes differs from that of the highest level, so that the point says nothing of a knee.

    Of request "all" alone: `outside`; `canary`, the seconds of CPU that a fixed loop took on the
    deployment's cores; `request_cpu`, those that a request took, and `request_canaries`, the same
    in canaries, which can be compared between machines and hours.
    """

    deployment: str
    request: str
    model: Literal["closed", "open"] = "closed"
    level: Level
    requests: int
    seconds: float  # measured, over all repeats
    throughput: Estimate
    statuses: dict[str, int] = {}
    size: Estimate | None = None
    calls: float | None = None
    response_time: dict[str, Estimate | None]
    service_time: dict[str, Estimate | None]
    response_time_with_failures: dict[str, Estimate | None] = {}
    errors: Errors
    phases: dict[str, dict[str, float]] = {}
    phases_interval: dict[str, dict[str, tuple[float, float]]] = {}
    traced: Traced | None = None
    resources: dict[str, float] = {}
    outside: Outside | None = None
    canary: float | None = None
    request_cpu: float | None = None
    request_canaries: float | None = None
    in_flight: float | None = None
    users: Users | None = None
    other_mix: bool = False
    steady: Literal["steady", "drifting", "over-saturated", "unsteady"] | None = None
    warmup_dropped: float = 0.0
    noise: dict[str, float] = {}
    left_out: float = 0.0
    noisy: bool = False
    valid: bool = True
    problems: list[str] = []
    limit: Limit | None = None

    @property
    def counts(self) -> bool:
        """Whether its throughput may be used with its interval, however wide that is."""
        return self.valid or self.noisy


class Knee(Result):
    """
    Where throughput stops following load: N* = X_max * (R_0 + Z), with its interval; in the open
    model the highest rate of arrivals that is still answered.

    `level` is null when the levels did not reach it, and then `low` is the level that it lies
    beyond; or when the lowest level lies beyond it, and then it is at or below `high`. Without
    either, the levels tell too little. `beyond`: what throughput does beyond it, "flat", "falls",
    "errors", or null when no level lies beyond, or when that is not known. `throughput` is X_max;
    null where it still rises beyond the knee, together with failures. `base_response_time` is R_0
    (seconds), the mean response time without a queue, `cycle` R_0 + Z (seconds), the time between
    two successes of one user without a queue, think time and failures included; `slope` the seconds
    that p95 grows by for each user beyond the knee. `retrograde`: the part of `throughput` that is
    lost at the highest level, where it falls. `in_flight`: the knee in requests in flight, X_max
    R_0; null where users are requests in flight.
    """

    level: float | None
    low: float | None = None
    high: float | None = None
    in_flight: float | None = None
    throughput: float | None = None
    base_response_time: float | None = None
    cycle: float | None = None
    beyond: Literal["flat", "falls", "errors"] | None = None
    slope: float | None = None
    retrograde: Estimate | None = None
    limit: Resource | None = None


class Experiment(Result):
    """
    What a change beyond the knee did to throughput; `change` says it in words.

    Of `upstream`, the delays of the upstream were times `scale` in every other window: `ratio` is
    the throughput with them over that without, and `elasticity` d ln X / d ln L, which is minus the
    upstream's part of the time for which the limiting resource is held: -1 or 0 at the extremes.
    Of `setting`, a limit was raised, and `predicted` is the ratio that the law of ceilings gives.

    `tested` is the resource that was named before, `resource` the one that is named now; null where
    nothing was, or is. `verdict`: of the one that was named before.
    """

    deployment: str
    level: int
    kind: Literal["upstream", "setting"]
    change: str
    scale: float = 1.0
    pairs: int = 0
    ratio: Estimate | None = None
    elasticity: Estimate | None = None
    predicted: float | None = None
    tested: Resource | None = None
    resource: Resource | None = None
    verdict: Literal["confirmed", "refuted", "cannot tell"] = "cannot tell"
    why: str


class Capacity(Result):
    """
    The highest level of one deployment that meets the plan's SLOs, with its interval.

    `level` is null when not even the lowest level met them, or when none was decided; `above` is
    True when the highest level that was allowed met them, so that the capacity is at least that.
    `slo` names the one that fails first; `why` in one sentence.
    """

    level: int | None
    low: float | None = None
    high: float | None = None
    above: bool = False
    slo: str | None = None
    seconds: float  # that the search took
    why: str


class UpstreamChange(Result):
    """
    The upstream was changed by hand while it ran: `text` says what, `at` when (seconds from the
    start of the run). `deployment` and `level` are of the stage that was measured then, or next.
    """

    at: float
    text: str
    deployment: str | None = None
    level: int | None = None


class SloResult(Result):
    """
    One SLO on one deployment. `status`: met, missed or unresolved; `why` in one sentence.

    `valid`: False where it is unresolved because nothing was measured validly. `measure`: seconds
    of measurement that would probably decide it, where it is unresolved for want of them.
    """

    name: str
    text: str
    deployment: str
    status: Literal["met", "missed", "unresolved"]
    valid: bool = True
    measure: float | None = None
    measured: Estimate | None = None
    why: str


class Change(Result):
    """
    How B differs from A in one metric at one level: a ratio, or a difference of `errors`.

    `changed`: by more than chance, all metrics and levels that are told taken together. The
    interval allows for their number, too.
    """

    metric: str
    level: int
    change: Estimate | None
    changed: bool


class BlockShown(Result):
    """
    One block of a comparison, at the level that decides.

    `at`: seconds from the first one. `value`: of the metric that decides, in its unit; null where
    it was not measured, or infinitely slow. `ratio`: B over A of its round.
    """

    round: int
    deployment: str
    at: float
    value: float | None
    ratio: float | None
    usable: bool = True


class Shift(Result):
    """B over A at one quantile `q` of all response times."""

    q: float
    ratio: Estimate


Kind = Literal["BETTER", "WORSE", "EQUIVALENT", "UNRESOLVED", "INVALID"]


class Verdict(Result):
    """
    Whether B is better than A. `sentence` says it with its numbers.

    `method`: "interleaved", both took turns in rounds; or "stored", a run against an older one,
    which is weaker. `ratio`: B over A of `metric` at `level`. `margin`: the change that does not
    matter, as a share. `minimum_detectable_change`: the change that would have been seen, as a
    share. `problems`: what there is to know besides. `seconds_needed` would probably decide it, of
    a stored one at this level in both runs (null: nothing does within an hour, or it is decided).
    `changes`: of the other metrics and levels.

    Of interleaved ones alone: `rounds` that could be used, `blocks`, and the `shift` of the whole
    distribution.
    """

    verdict: Kind
    method: Literal["interleaved", "stored"]
    a: str
    b: str
    metric: str
    level: int | None
    margin: float
    ratio: Estimate | None = None
    minimum_detectable_change: float | None = None
    sentence: str
    problems: list[str] = []
    rounds: int = 0
    seconds_needed: float | None = None
    changes: list[Change] = []
    blocks: list[BlockShown] = []
    interval_after_round: list[Estimate] = []
    shift: list[Shift] = []

    @property
    def title(self) -> str:
        """The two sides of a comparison; the same name on both is that of two runs."""
        return f"{self.b} against {'its baseline' if self.a == self.b else self.a}"


class Run(Result):
    """
    A whole run. `status`: "complete", or "interrupted" (what was measured until then is here).

    `problems`: what concerns the run as a whole, such as a deployment that died.
    `deployments`: how each was started. `plan`: the resolved plan.
    """

    format: Literal["brownout-run/2"] = FORMAT
    id: str
    name: str
    started: str  # ISO 8601, UTC
    status: Literal["complete", "interrupted"] = "complete"
    problems: list[str] = []
    environment: dict[str, Any] = {}
    deployments: dict[str, dict[str, Any]] = {}
    plan: dict[str, Any] = {}
    points: list[Point] = []
    knees: dict[str, Knee] = {}
    ceilings: dict[str, list[Ceiling]] = {}  # of each deployment, the lowest first
    experiments: list[Experiment] = []
    capacities: dict[str, Capacity] = {}
    slos: list[SloResult] = []
    verdicts: list[Verdict] = []
    changes: list[UpstreamChange] = []  # of the upstream, by time
    apart: list[EventsApart] = []

    @property
    def model(self) -> str:
        """What a level counts: users of the closed model, or requests per second."""
        return next((point.model for point in self.points), "closed")

    @property
    def names(self) -> list[str]:
        """The deployments that were started or measured, in the order of the plan."""
        return list(dict.fromkeys([*self.deployments, *(one.deployment for one in self.points)]))

    def of(self, deployment: str, request: str = "all") -> list[Point]:
        """The points of one deployment by rising level."""
        found = (p for p in self.points if (p.deployment, p.request) == (deployment, request))
        return sorted(found, key=lambda point: point.level)


class UnreadableRun(Failure):
    """A saved run that cannot be read; the message says which and why."""


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of run.json, which is also in the file run.schema.json."""
    found = Run.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def to_json(run: Run) -> str:
    return run.model_dump_json(indent=1) + "\n"


def read(path: Path) -> Run:
    """
    The Run in a run's folder, or in its run.json.

    Raises:
        UnreadableRun: there is none, or it is not of this format.
    """
    file = path / "run.json" if os.path.isdir(path) else path
    try:
        data = from_json(foreign_files.text(file))
    except FileNotFoundError:
        raise UnreadableRun(
            f"{path} holds no run.json. Give the folder that `brownout run` printed last."
        ) from None
    except OSError as error:
        raise UnreadableRun(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UnreadableRun(f"{file} cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        found = f"{found!r:.{LONGEST_NAME}}"
        raise UnreadableRun(f"{file} has the format {found}; this version reads {FORMAT!r}.")
    if not plausible(data):
        raise UnreadableRun(f"{file} has a number that no measurement gives.")
    try:
        return Run.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UnreadableRun(f"{file}: {where}: {first['msg']}") from error


def plausible(value: Any) -> bool:
    """Whether every number in a value of JSON is one that a run may have; infinity is none."""
    if isinstance(value, dict):
        return all(map(plausible, value.values()))
    if isinstance(value, list):
        return all(map(plausible, value))
    return not isinstance(value, int | float) or abs(value) <= _MOST
