"""The messages between controller and engine: JSON lines, one message a line.

controller                                        engine
    |  <- Hello (the one-time token)                 |
    |  <- LocustfileFailed                           |   at any time: the run ends
    |  PageContent ...  ->                           |   at any time, if there is a web UI
    |  <- PageCommand, CommandResult ->              |   at any time: a page wants something
    |  <- Started (a test began; the form's values)  |
    |  Stage ->                                      |   every generator is parked, has the stage
    |  <- StageStarted                               |   all gates open at the same moment
    |  <- Report (slices, numbered) ...              |
    |  Enough ->                                     |   if it may end before its time,
    |  <- Measured                                   |   which all generators do together
    |  <- GeneratorDone or GeneratorLost from each   |   everybody is parked again
    |  Finish ->                                     |
    |  <- Stopped                                    |   the test was ended by hand
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from loadtests.recording.histograms import Histogram
from loadtests.recording.phases import PhaseSums
from loadtests.recording.slices import Slice

MOST = 1e12  # of whatever a message counts or measures; what is beyond was written by nobody
Amount = Annotated[float, Field(ge=-MOST, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Length = Annotated[float, Field(ge=0, le=7200)]
"""Seconds of a part of a stage; a plan's have an hour at most."""
Level = Annotated[int, Field(ge=1, le=1_000_000)]
ON_START = 120.0
"""Seconds that a locustfile's test_start and on_start may take before a stage begins anyway."""
Index = Annotated[int, Field(ge=0, le=10_000_000)]
"""Of a quarter second of a stage, or of what a generator sends once a second."""


class Message(BaseModel):
    # No number without an end: JSON has no word for it, and no measurement gives one.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RequestSpec(Message):
    """
    One kind of request, ready to be sent but for its placeholders; see loadtests.placeholders.

    `json_body`: the body is JSON, so that values in its texts are escaped.
    """

    name: str
    method: str
    path: str
    weight: Amount
    headers: dict[str, str] = {}
    body: str | None = None
    json_body: bool = False
    timeout: Amount  # seconds
    statuses: tuple[int, ...] = ()  # expected; empty: any below 300
    contains: str | None = None  # the body must
    follow: bool = False  # its redirects


class Hello(Message):
    type: Literal["hello"] = "hello"
    token: str
    pid: int
    web: bool = False  # it has a web UI, whose pages want to be shown what happens
    notes: tuple[str, ...] = ()  # what the reader of the run has to know of the locustfile


class Started(Message):
    """A test began. `options` are the values of the form or of the command line, as text."""

    type: Literal["started"] = "started"
    options: dict[str, str] = {}


class Raised(Message):
    """The setting of a limit, and its size before and now, in each process."""

    name: str
    before: Count
    now: Count


class Probe(Message):
    """
    What is changed in a window of an experiment: the upstream's delays are times `scale`, and the
    deployment was restarted with a larger limit if one was `raised`. Windows of one `pair` are
    compared with each other. See schedules/why.py.
    """

    pair: Count
    scale: Annotated[float, Field(gt=0, le=10)] = 1.0
    raised: Raised | None = None


class Trust(Message):
    """Whether the certificate of a service is checked, and with which file; see `loadtests.tls`."""

    verify: bool | None = None
    ca: str | None = None


class Stage(Message):
    """
    One level on one deployment: `settle` seconds, then `measure` seconds. `number` counts the
    stages of a test from 0.

    `level` is a number of users in the closed model, requests per second of all generators
    together in the open one, which come by `arrivals` and know no think time. `measure` is the
    longest that is measured while the stage is played; afterwards, what was measured.
    `again`: this stage is played in place of those before at its level, which were disturbed or too
    short. `probe`: a window of an experiment, which is not a part of the ladder.
    """

    type: Literal["stage"] = "stage"
    number: Count
    deployment: str
    target: str  # URL
    model: Literal["closed", "open"] = "closed"
    arrivals: Literal["poisson", "even"] = "poisson"
    level: Level
    think_time: Length
    settle: Length
    measure: Length
    requests: tuple[RequestSpec, ...]
    seed: int
    trust: Trust = Trust()
    own_tasks: bool = False  # the User classes of the user's locustfile play their own tasks
    telemetry: bool = False  # stamp requests with when they were sent, and read Server-Timing
    again: bool = False
    probe: Probe | None = None


class Clock(Message):
    """
    A generator's clock against the engine's: add `offset` to the engine's time, plus or minus
    `uncertainty`; seconds.
    """

    offset: Amount
    uncertainty: Amount


class StageStarted(Message):
    """All generators have opened their gates, `at` on the engine's monotonic clock (seconds)."""

    type: Literal["begun"] = "begun"
    stage: int
    at: Amount
    generators: dict[str, Clock]


class Enough(Message):
    """The stage may end when this much was measured, or as soon after as all generators can."""

    type: Literal["enough"] = "enough"
    stage: int
    measure: Length


class Measured(Message):
    """All generators end the stage when this much is measured, which is less than was planned."""

    type: Literal["measured"] = "measured"
    stage: int
    measure: Length


class SliceMessage(Message):
    """A Slice on its way; see there."""

    index: Index
    request: str
    started: Count
    start_lead: Amount
    ended: Count
    end_lead: Amount
    succeeded: Count
    ok: str = ""
    response: str = ""
    failed: str = ""
    kinds: dict[str, Count] = {}
    statuses: dict[str, Count] = {}
    bytes: Count = 0
    followed: Count = 0
    idle: Amount = 0.0
    phases: str = ""
    unsent: Count = 0

    @classmethod
    def of(cls, part: Slice) -> "SliceMessage":
        return cls(
            **{name: getattr(part, name) for name in _SAME},
            **{name: round(getattr(part, name), 7) for name in _ROUNDED},
            **{name: times.encode() for name in _TIMES if (times := getattr(part, name)).count},
            phases=part.phases.encode() if part.phases else "",
        )

    def slice(self, stage: int) -> Slice:
        """Raises ValueError when a histogram, or the phases, are broken."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in (*_SAME, *_ROUNDED)}
        fields |= {n: Histogram.decode(text) for n in _TIMES if (text := getattr(self, n))}
        part = Slice(stage=stage, **fields)
        part.kinds, part.statuses = dict(self.kinds), dict(self.statuses)
        if self.phases:
            part.phases = PhaseSums.decode(self.phases)
        return part


# The fields of a Slice, by how they are sent.
_SAME = ("index", "request", "started", "ended", "succeeded", "kinds", "statuses", "bytes",
         "followed", "unsent")  # fmt: skip
_ROUNDED = ("start_lead", "end_lead", "idle")
_TIMES = ("ok", "response", "failed")


class Report(Message):
    """What one generator recorded since its last report; numbered from 0 in each stage."""

    type: Literal["report"] = "report"
    stage: int
    generator: str
    sequence: Index
    slices: tuple[SliceMessage, ...]


TICK = 0.02  # seconds from one timer to the next of those whose lateness is measured


class Lateness(Message):
    """
    How late a generator's timers woke in one quarter second of a stage; seconds.

    `index` of the quarter second, `late` the sum over all timers that were due in it, `worst` the
    largest one of them. Each is set TICK after the one before woke.
    """

    index: Index
    late: Amount
    worst: Amount


class UserCounts(Message):
    """
    The users of a locustfile on one generator while a stage was measured; means over its looks.

    `running` are in a task, `waiting` between two tasks, `starting` still in on_start; `least` is
    the smallest number that were in a task or between two. `classes`: how many there were of each
    User class. `without`: how many sent nothing in on_start, although all users before them had.
    """

    running: Amount
    waiting: Amount
    starting: Amount
    least: Count
    classes: dict[str, Amount] = {}
    without: Count = 0


class Apart(Message):
    """
    Events of a stage that are no requests of its tasks: `kind` says what they are.

    `on_start`: requests that users sent in on_start, before the stage began. `timing`: events of a
    request type that counts as no request, which ended in the window; `times` then holds
    thousandths of what was reported as response_time, which may be a time or any other number.
    `background`: requests that no user sent, and ended in the window. `failed` of `count`.
    """

    kind: Literal["on_start", "timing", "background"]
    request_type: str
    name: str
    count: Count
    failed: Count = 0
    times: str = ""  # a Histogram

    @classmethod
    def of(
        cls, kind: Literal["on_start", "timing", "background"], request_type: str, name: str,
        times: Histogram, failed: int,
    ) -> "Apart":  # fmt: skip
        return cls(
            kind=kind,
            request_type=request_type,
            name=name,
            count=times.count,
            failed=failed,
            times=times.encode(),
        )


class GeneratorDone(Message):
    """
    A generator's last word on a stage: everybody is parked, every report is sent.

    `reports` is how many reports it sent; `unfinished` how many requests had to be given up;
    `cpu` the share of one core that its process used while measuring; `lag` how late a timer woke
    at the 99th percentile (seconds); `late` how much later than meant a request of the open model
    was sent, at the 99th percentile too; `beyond` how many requests it sent after the stage's end,
    to hold the load until the last answer: they are in no report; `refused` how many connections
    to each host that is not the plan's were refused since the last stage; `reopened` how many kept
    connections turned out closed and were opened again, and `resent` how many requests were sent a
    second time for that; `strangers` how many handshakes with the
    master failed since the last stage, which the master adds to one of its workers'. `lateness`
    says how late its timers woke, for each quarter second that was measured (empty in files of
    earlier versions). Of a user's own locustfile: `users`, `apart`, `errors`, which counts the
    exceptions of its code by what was raised and where, `unusable`, which counts the events that
    were left out by what is wrong with them, and `pool_waits`, the seconds of the window that its
    requests waited for a connection of its own pool.
    """

    type: Literal["done"] = "done"
    stage: int
    generator: str
    reports: Index
    unfinished: Count
    cpu: Amount
    lag: Amount
    late: Amount = 0.0
    beyond: Count = 0
    refused: dict[str, Count] = {}
    reopened: Count = 0
    resent: Count = 0
    strangers: Count = 0
    lateness: tuple[Lateness, ...] = ()
    users: UserCounts | None = None
    apart: tuple[Apart, ...] = ()
    errors: dict[str, Count] = {}
    unusable: dict[str, Count] = {}
    pool_waits: Amount = 0.0


class LocustfileFailed(Message):
    """A handler of the user's locustfile raised an exception: the run ends; `text` says where."""

    type: Literal["failed"] = "failed"
    text: str


class OwnExitCode(Message):
    """The user's locustfile has set Locust's exit code: a check of its own says that it failed."""

    type: Literal["own_exit_code"] = "own_exit_code"
    code: int


class GeneratorLost(Message):
    """A generator is gone, or a stage could not be brought up; the stage is not valid."""

    type: Literal["lost"] = "lost"
    stage: int
    generator: str
    reason: str


class ProcessUsage(Message):
    """
    What one process used; seconds of CPU.

    `cpu` counts all of its threads, those that ended, and its children that ended. `busiest` is
    the part of it that ran on one core at a time: that of the busiest thread, or all of it where
    an interpreter lets one thread run at a time. `role` names its program, behind those of its
    parents.
    """

    role: str
    cpu: Amount
    busiest: Amount


class Rest(Message):
    """What a deployment used without load; seconds, and seconds of CPU."""

    seconds: Amount
    cpu: Amount


class Taken(Message):
    """
    What others took of these cores, as a share of their time.

    `others`: used by processes that are not brownout's. `stolen`: by the host of this virtual
    machine.
    """

    cores: tuple[Index, ...]
    others: Amount
    stolen: Amount


class Usage(Message):
    """
    What processes used while a stage was played; the controller's, not the engine's.

    Read while every user is parked: before the stage, and after its last answer. So it is exact,
    and counts all requests of the stage, not those of its window alone.

    Args:
        seconds: between the two readings.
        processes: by deployment ("mock" and "generator" among them) and process id.
        rss: bytes, by deployment, after the stage.
        rest: what each deployment used without load so far, in this stage and those before.
        carried: calls of earlier stages that the upstream's servers had yet to serve when this one
            began; None: not known.
        calls: that arrived at the upstream meanwhile; None: not known.
        taken: by others meanwhile, of the cores of generator, mock and deployments; empty where it
            is not known.
        late: seconds in the mean by which the upstream's answers were late; None: not known.
    """

    type: Literal["usage"] = "usage"
    stage: int
    seconds: Amount
    processes: dict[str, dict[int, ProcessUsage]]
    rss: dict[str, Count] = {}
    rest: dict[str, Rest] = {}
    carried: Count | None = None
    calls: Count | None = None
    taken: tuple[Taken, ...] = ()
    late: Amount | None = None


class UpstreamChanged(Message):
    """
    The upstream was changed by hand; `profile` is what it plays from then on, None: the plan's.

    `at` on the controller's monotonic clock (seconds), which is the engine's; `text` says what.
    """

    type: Literal["change"] = "change"
    at: Amount
    text: str
    profile: dict[str, Any] | None


class PageContent(Message):
    """What the web UI is to answer under this name, in place of what it had; None: nothing more."""

    type: Literal["show"] = "show"
    name: str
    content: str | None


class PageCommand(Message):
    """A page of the web UI wants something of the controller, which answers by the same number."""

    type: Literal["ask"] = "ask"
    number: int
    what: str
    values: dict[str, Any] = {}


class CommandResult(Message):
    """`problem` says why it cannot be; None: it is done."""

    type: Literal["answer"] = "answer"
    number: int
    problem: str | None = None


class Finish(Message):
    """The schedule has come to its end."""

    type: Literal["finish"] = "finish"


class Stopped(Message):
    """The test was ended from the engine's side: by hand, or for a reason that only Locust has."""

    type: Literal["stopped"] = "stopped"
    reason: str = ""


OfStage = StageStarted | Measured | Report | GeneratorDone | GeneratorLost | Usage
"""What comes back about a stage, and is kept with it."""

AnyMessage = Annotated[
    Hello
    | Started
    | Stage
    | StageStarted
    | Enough
    | Measured
    | Report
    | GeneratorDone
    | GeneratorLost
    | LocustfileFailed
    | OwnExitCode
    | Usage
    | UpstreamChanged
    | PageContent
    | PageCommand
    | CommandResult
    | Finish
    | Stopped,
    Field(discriminator="type"),
]
_ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyMessage)


def encode(message: Message) -> bytes:
    """The message as one line, its line end included."""
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Any:
    """
    The message of one line.

    Raises:
        ValueError: the line is not one of our messages.
    """
    try:
        return _ADAPTER.validate_json(line)
    except ValidationError as error:
        raise ValueError(f"not a message: {line[:80]!r} ({error.error_count()} errors)") from error
