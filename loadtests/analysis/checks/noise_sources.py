"""What delayed the requests of a level: what samples, the mock and the generators say of it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from loadtests.analysis.checks import other_work
from loadtests.analysis.checks.disturbances import GENERATOR, MOCK, Disturbances, Look, TakenTime
from loadtests.analysis.checks.mock import lateness
from loadtests.analysis.checks.noise import USEFUL, Noise, Source
from loadtests.analysis.inputs.sample_parts import Sample
from loadtests.analysis.inputs.stops import stops
from loadtests.analysis.inputs.windows import window
from loadtests.analysis.numbers import duration, percent
from loadtests.recording.slices import LENGTH
from loadtests.results import Resource

FULLEST = 0.95
"""
Of a core. After a pause a process has to catch up with what came meanwhile, 1 / (1 - use) times as
long; where its core is fuller than this, the bound that holds for any queue is the lower one.
"""
LONG = 0.5  # of a look: a pause that takes so much of it may have begun before, or go on
QUEUED = 1.0  # seconds of a cycle: it holds most pauses as a whole
USUAL = 0.001  # seconds: timers and event loops of a quiet machine are that late
PERIOD = 0.1  # seconds of a CPU quota's period, where how long it stopped us is not told

_OWN: Mapping[str, Resource] = {MOCK: "mock", GENERATOR: "generator"}


def noise(
    seen: Sequence[Disturbances],
    samples: Sequence[Sample],
    *,
    calls: float,
    cycle: float | None,
    stretch: float = 1.0,
    growing: bool = False,
) -> Noise:
    """
    What disturbed the windows of one level, without the quarters that are left out.

    Where requests take longer than a pause does, those that are left out delayed the others, too.

    Args:
        calls: of the upstream, for each request.
        cycle: seconds from one request of a user to the next; None in the open model.
        stretch, growing: see Noise.
    """
    whole = stretch > 1 and cycle is not None and cycle > QUEUED
    level = _LevelNoise(seen, samples, calls, both_ways=cycle is None, whole=whole)
    if not level.seconds:
        return Noise(cycle=cycle)
    sources = [one for one in level.sources() if one.mean > 0]
    return Noise(sources, level.paused, cycle, stretch, growing, level.failures())


class _LevelNoise:
    """The windows of one level, as far as they are not left out."""

    def __init__(
        self,
        seen: Sequence[Disturbances],
        samples: Sequence[Sample],
        calls: float,
        *,
        both_ways: bool,
        whole: bool,
    ) -> None:
        """
        Args:
            both_ways: whether a request begins when it is meant to be sent, and not when it is.
            whole: with the quarters that are left out.
        """
        self._whole = whole
        self._seen = [(one, list(_kept(one, set() if whole else set(one.cut)))) for one in seen]
        self._spells = [each for _, spells in self._seen for each in spells]
        self._samples, self._calls, self._both_ways = samples, calls, both_ways
        self.seconds = math.fsum(end - start for start, end in self._spells)
        self._late = lateness([spells for _, spells in self._seen], samples)

    def sources(self) -> Iterator[Source]:
        """
        What delayed requests. The mock's own word, and the generators', say more than what was
        taken from their cores: the larger of the two counts.
        """
        # A service wants a core when a request comes, and when each of its calls is answered.
        yield self._process(self._seen[0][0].record.stage.deployment, 1 + self._calls)
        yield self._process(GENERATOR, 1.0) if self._timers is None else self._generator()
        loop, taken = self._loop(), self._process(MOCK, self._calls)
        yield max(loop, taken, key=lambda one: one.mean)
        yield self._answers()
        yield self._quota()

    def failures(self) -> tuple[Resource, str] | None:
        """
        What was stopped while nothing succeeded, or requests timed out.

        A request of the window can time out because of a stop that came after it.
        """
        windows = [window(one.record) for one, _ in self._seen]
        failed = sum((one.kinds for one in windows), Counter[str]())
        if any(quarter.ok.count for one in windows for quarter in one.quarters):
            failed = Counter(timeout=failed["timeout"])
        stopped = {
            name: self._stopped_until_the_last_answer(name) for name in self._seen[0][0].names
        }
        name = max(stopped, key=stopped.__getitem__)
        if not failed.total() or stopped[name] <= USEFUL * self.seconds:
            return None
        what = _words(0.0, 0.0, stopped[name], _called(name))
        many = failed.total()
        return _OWN.get(name, "host"), f"{what}, and {many:,} request{'s' * (many > 1)} failed"

    def _stopped_until_the_last_answer(self, name: str) -> float:
        """Seconds in which a signal had stopped a process, from the windows' beginnings on."""
        spells = []
        for record in (one.record for one, _ in self._seen):
            if record.window is not None:
                start, end = record.window
                if record.begun is not None and record.usage is not None:
                    end = max(end, record.begun.at + record.usage.seconds)
                spells.append((start, end))
        return math.fsum(
            max(min(until, end) - max(begin, start), 0.0)
            for who, begin, until in stops(self._samples)
            if who == name
            for start, end in spells
        )

    @cached_property
    def paused(self) -> float:
        """The part of the time in which one process or another was without its core, or late."""
        total = math.fsum(length * count for length, count in self._throttled)
        told = {
            GENERATOR: math.fsum(length * count for length, count in self._timers or ()),
            MOCK: math.fsum(length for length, _ in self._lags),
        }
        # What was taken of one core was taken from all processes on it at the same time.
        by_cores: dict[frozenset[int] | str, float] = {}
        for name in self._seen[0][0].names:
            stopped = taken = 0.0
            for one, spells in self._seen:
                stopped += math.fsum(_inside(t, spells) * t.seconds for t in one.stopped(name))
                taken += math.fsum(_inside(t, spells) * t.seconds for t in one.taken(name))
            cores = self._cores(name) or name
            lost = max(taken, told.get(name, 0.0), stopped)
            by_cores[cores] = max(by_cores.get(cores, 0.0), lost)
        return min((total + math.fsum(by_cores.values())) / self.seconds, 1.0)

    def _cores(self, name: str) -> frozenset[int] | None:
        found = (look.affinity.get(name) for one, _ in self._seen for look in one.looks)
        return next((cores for cores in found if cores), None)

    def _process(self, name: str, steps: float) -> Source:
        """A process without its core, or stopped."""
        pauses: list[tuple[float, float]] = []
        host = others = stopped = 0.0
        weight = self._catching_up(name)
        for one, spells in self._seen:
            for together in (*_pauses(one.taken(name)), *([each] for each in one.stopped(name))):
                length = math.fsum(taken.seconds for taken in together)
                inside = 0.0
                for taken in together:
                    part = _inside(taken, spells)
                    host += part * taken.host
                    others += part * taken.others
                    stopped += part * taken.stopped
                    inside += part * taken.seconds
                if inside:
                    pauses.append((length, inside / length * weight))
        who = _called(name)
        what = _words(host / self.seconds, others / self.seconds, stopped, who)
        if others and (which := other_work.in_samples(self._near, self._cores(name) or ())):
            what += f": {which}"
        resource = _OWN.get(name, "host") if stopped > host + others else "host"
        return Source(resource, what, steps, self.seconds, pauses)

    def _catching_up(self, name: str) -> float:
        """How many times as long as a pause it takes until what came meanwhile is done."""
        return 1 / (1 - min(self._use(name), FULLEST))

    def _use(self, name: str) -> float:
        """The part of its cores that a process uses, with what is taken from it."""
        looks = [look for one, _ in self._seen for look in one.looks]
        length = math.fsum(look.end - look.start for look in looks)
        if not length:
            return 0.0
        used = math.fsum(look.used.get(name, 0.0) * (look.end - look.start) for look in looks)
        taken = math.fsum(look.taken(name).seconds for look in looks)
        return used / length / max(math.ceil(round(used / length, 2)), 1) + taken / length

    @cached_property
    def _timers(self) -> Sequence[tuple[float, float]] | None:
        """How late the generators' timers were, and how often; None: not recorded."""
        found, told = [], False
        for one, _ in self._seen:
            first = round(one.record.stage.settle / LENGTH)
            out = set() if self._whole else {first + index for index in one.cut}
            dones = one.record.dones.values()
            for late in (late for done in dones for late in done.lateness):
                told = True
                if late.worst > USUAL and late.index not in out:
                    # As many as long as the worst one; each generator has a part of the users.
                    found.append((late.worst, late.late / late.worst / len(dones)))
        return found if told else None

    def _generator(self) -> Source:
        """Late timers of the load generator: answers seem later, and requests are sent later."""
        weight = self._catching_up(GENERATOR)
        pauses = [(length, count * weight) for length, count in self._timers or ()]
        worst = duration(max((length for length, _ in pauses), default=0.0))
        what = f"the load generator's timers woke up to {worst} late"
        return Source("generator", what, 2.0 if self._both_ways else 1.0, self.seconds, pauses)

    @property
    def _lags(self) -> list[tuple[float, float]]:
        """How long the mock's event loop was away."""
        return [(lag, 1.0) for lag in (self._late.lags if self._late else ()) if lag > USUAL]

    def _loop(self) -> Source:
        """Calls that come while the mock's event loop is away."""
        longest = duration(max((length for length, _ in self._lags), default=0.0))
        what = f"the mock upstream's event loop was away for up to {longest}"
        return Source("mock", what, self._calls, self.seconds, self._lags)

    def _answers(self) -> Source:
        """The mock's answers that were later than its profile wants."""
        found = self._late
        if found is None or not found.answers or not found.overdue:
            return Source("mock", "", self._calls, self.seconds)
        shares = {at: min(count / found.answers, 1.0) for at, count in found.overdue.items()}
        # A second that lies in the window in part counts in part, and half a late answer is none.
        several = [at for at, count in found.overdue.items() if count >= 0.5]
        worst = max(several, default=min(shares))
        late = max(round(found.overdue[worst]), 1)
        few = f"{late:,} of its {max(round(found.answers), late):,} answers"
        what = f"the mock upstream gave {few} more than {duration(worst)} late"
        return Source("mock", what, self._calls, self.seconds, late=shares)

    def _quota(self) -> Source:
        """A CPU quota that stopped whatever wanted to run: service, mock and generator."""
        total = math.fsum(length * count for length, count in self._throttled)
        part = percent(min(total / self.seconds, 1.0))
        what = f"a CPU quota stopped everything for {part} of the time"
        return Source("host", what, 3.0, self.seconds, self._throttled)

    @cached_property
    def _throttled(self) -> list[tuple[float, float]]:
        """How long a quota stopped everything, and how often."""
        found = []
        for sample in self._near:
            quota = sample.get("quota")
            count = quota.get("throttled") if isinstance(quota, dict) else None
            if not isinstance(quota, dict) or not isinstance(count, int | float) or count <= 0:
                continue
            told = quota.get("stopped")
            each = told / count if isinstance(told, int | float) else PERIOD
            found.append((min(max(each, 0.0), 1.0), float(count)))
        return found

    @cached_property
    def _near(self) -> Sequence[Sample]:
        """The samples that lie mostly in the windows."""
        return [
            sample
            for sample in self._samples
            if any(start <= sample["at"] - 0.5 < end for start, end in self._spells)
        ]


def _pauses(looks: Sequence[TakenTime]) -> Iterator[list[TakenTime]]:
    """The looks that can be one pause: it may go on over the end of a look that is mostly taken."""
    together: list[TakenTime] = []
    for look in looks:
        if together and not _go_on(together[-1], look):
            yield together
            together = []
        together.append(look)
    if together:
        yield together


def _go_on(before: TakenTime, look: TakenTime) -> bool:
    shares = [one.seconds / (one.end - one.start) for one in (before, look)]
    return min(shares) > 0 and max(shares) >= LONG


def _kept(one: Disturbances, out: set[int]) -> Iterator[tuple[float, float]]:
    """The stretches of a window without these quarters, in monotonic seconds."""
    window = one.record.window
    if window is None:
        return
    start = None
    for index in range(round(one.record.stage.measure / LENGTH) + 1):
        at = window[0] + index * LENGTH
        inside = index not in out and at < window[1]
        if inside and start is None:
            start = at
        elif not inside and start is not None:
            yield start, min(at, window[1])
            start = None
    if start is not None:
        yield start, window[1]


def _inside(one: TakenTime | Look, spells: Sequence[tuple[float, float]]) -> float:
    """The part of it that is in these stretches."""
    overlap = math.fsum(max(min(one.end, b) - max(one.start, a), 0.0) for a, b in spells)
    return overlap / (one.end - one.start)


def _called(name: str) -> str:
    called = {MOCK: "the mock upstream", GENERATOR: "the load generator"}
    return called.get(name, "the deployment")


def _words(host: float, others: float, stopped: float, called: str) -> str:
    parts = [
        f"its host took {percent(host)} of a core" if host else "",
        f"other processes took {percent(others)} of a core" if others else "",
    ]
    texts = [" and ".join(filter(None, parts)) + f" from {called}"] if any(parts) else []
    if stopped:
        texts.append(f"{called} was stopped by a signal (SIGSTOP) for {duration(stopped)}")
    return " and ".join(texts)
