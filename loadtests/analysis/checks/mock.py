"""Whether the mock was the upstream that its profile describes, by its own word."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from loadtests.analysis.checks.generator import Validity, spoilt
from loadtests.analysis.inputs.ledgers import LedgerReading
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample
from loadtests.analysis.numbers import duration

SECOND = 1.0  # the mock judges itself once in it, and is sampled once in it
CHANCE = 1.5  # seconds: a single bad one is the machine's noise
SHARE = 0.1  # of a window that is long enough to hold more than one
SILENT = 3  # samples without an answer, one after the other


def of_mock(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Validity:
    """
    What the mock's ledger says about the windows of one (deployment, level).

    The mock counts the seconds in which it did not keep up. A point is invalid when there were too
    many of them: a tenth of its windows, but 1.5 s at least, so that no single second condemns a
    point, unless it is half of all. Fewer are a note. A second in which the mock was stopped is as
    long as it was: what its event loop was away counts as well, or what the ledger was silent.

    Seconds of which nothing is known, because the ledger could not be read until the end, count in
    the same way. Where it could be read again later, its counts cover the time between, and the
    silence is a note. A mock that was restarted or reset, or that took another profile, was two
    upstreams: invalid. One that had no request in the windows concerns nobody.

    Where the mock tells how late its answers were, slow seconds are no more than a note: what they
    can have done is known (see noise).
    """
    windows = [window for record in records if (window := record.window) is not None]
    inside = _inside(windows, samples)
    if not any(part.stretch.asked for part in inside):
        return Validity()
    total = sum(end - start for start, end in windows)
    limit = min(max(SHARE * total, CHANCE), total / 2)
    breaks = [text for part in inside if (text := part.stretch.broken())]
    slow = min(sum(part.slow for part in inside), total)
    unknown = sum(part.unknown for part in inside)
    wrong = list(dict.fromkeys(breaks))
    notes, bottleneck = [], list[str]()
    if slow:
        why = _reason(part.stretch for part in inside if part.slow)
        if slow >= limit and not any(part.stretch.exact for part in inside):
            bottleneck = [
                f"the mock upstream was the bottleneck for {duration(slow)} of "
                f"{duration(total)}: {why}"
            ]
            wrong += bottleneck
        else:
            notes.append(
                f"the mock upstream did not keep up for {duration(slow)} of {duration(total)}: "
                f"{why}"
            )
    if unknown >= limit:
        wrong.append(
            "whether the mock upstream kept up is not known: its ledger could not be read for "
            f"{duration(unknown)} of {duration(total)}"
        )
    elif (silent := max(len(part.stretch.silent) for part in inside)) >= SILENT:
        notes.append(f"the mock upstream's ledger could not be read {silent} times in a row")
    return Validity(not wrong, (*wrong, *notes), spoilt("mock", bottleneck))


CHANGED = "the mock upstream's profile was changed"


@dataclass(frozen=True, slots=True)
class Late:
    """
    How late the mock's answers were.

    `answers`: how many there were. `overdue`: how many of them were later than this many seconds.
    `lags`: for how long its event loop was away, at the longest, in each second (seconds).
    """

    answers: float
    overdue: Mapping[float, float]
    lags: Sequence[float]


def lateness(
    windows: Sequence[Sequence[tuple[float, float]]], samples: Sequence[Sample]
) -> Late | None:
    """
    How late the mock was in these stretches of windows; None where it did not tell.

    Its counts between two readings are left out where a part of that time is.
    """
    gaps = [(end, start) for spells in windows for (_, end), (start, _) in pairwise(spells)]
    answers, lags, told = 0.0, list[float](), False
    overdue: dict[float, float] = defaultdict(float)
    for stretch in _stretches(samples):
        before, after = stretch.before, stretch.after
        if not before or not after or after.overdue is None or not after.continues(before):
            continue
        told = True
        length = stretch.end - stretch.start
        if any(_common(stretch, gap) for gap in gaps):
            continue
        part = sum(_common(stretch, one) for spells in windows for one in spells) / length
        if not part or not after.delivered:
            continue
        first = before.delivered.count if before.delivered else 0.0
        answers += part * (after.delivered.count - first)
        earlier = before.overdue or {}
        for at, count in after.overdue.items():
            overdue[at] += part * (count - earlier.get(at, 0.0))
        if part >= 0.5:
            lags.append(after.fidelity.lag)
    return Late(answers, {at: n for at, n in overdue.items() if n > 0}, lags) if told else None


def _common(stretch: "_Stretch", spell: tuple[float, float]) -> float:
    """Seconds that are in both."""
    return max(min(stretch.end, spell[1]) - max(stretch.start, spell[0]), 0.0)


def two_upstreams(record: StageRecord, samples: Sequence[Sample]) -> list[str]:
    """Why the mock at the end of a stage was not the one at its beginning."""
    inside = _inside([record.window] if record.window else [], samples)
    return [text for part in inside if (text := part.stretch.broken())]


def _inside(windows: Sequence[tuple[float, float]], samples: Sequence[Sample]) -> list["_Inside"]:
    stretches = list(_stretches(samples))
    return [
        _Inside(stretch, start, end)
        for start, end in windows
        for stretch in stretches
        if stretch.start < end and start < stretch.end
    ]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The time between two readings of the ledger; None: there was no first or no last reading."""

    start: float
    end: float
    before: LedgerReading | None
    after: LedgerReading | None
    silent: Sequence[float] = ()
    """When it could not be read in between."""

    @property
    def asked(self) -> bool:
        """Whether there were requests in the mock, as far as one knows."""
        if self.before and self.after and self.after.continues(self.before):
            return self.after.in_flight.seconds > self.before.in_flight.seconds
        return True

    @property
    def known(self) -> bool:
        return self.before is not None and self.after is not None

    @property
    def exact(self) -> bool:
        """Whether the mock counted how late its answers were."""
        return self.after is not None and self.after.overdue is not None

    @property
    def slow(self) -> float:
        """Seconds in which the mock did not keep up."""
        if not self.after or not self.before or not self.after.continues(self.before):
            return 0.0
        last = self.after.fidelity
        seconds = last.not_ok_seconds - self.before.fidelity.not_ok_seconds
        if not seconds:
            return 0.0
        silence = self.silent[-1] - self.silent[0] if self.silent else 0.0
        # The lag is of the last second, which need not be the bad one.
        return seconds * SECOND + max(last.lag if last.reasons else 0.0, silence)

    def broken(self) -> str | None:
        """Why the mock after it is not the one before."""
        if not self.before or not self.after:
            return None
        if self.after.epoch != self.before.epoch:
            return "the mock upstream was restarted: it lost its requests"
        if self.after.generation != self.before.generation:
            return f"the mock upstream was reset: it dropped {self.after.dropped} replies"
        if self.after.version != self.before.version:
            return CHANGED
        return None


@dataclass(frozen=True, slots=True)
class _Inside:
    """A stretch and the window that it lies in, or reaches into."""

    stretch: _Stretch
    start: float
    end: float

    @property
    def slow(self) -> float:
        # A second is judged at its end: readings cover half a second before them, in the mean.
        seconds = self._overlap(SECOND / 2)
        return self.stretch.slow * seconds / (self.stretch.end - self.stretch.start)

    @property
    def unknown(self) -> float:
        return 0.0 if self.stretch.known else self._overlap(0.0)

    def _overlap(self, earlier: float) -> float:
        start = max(self.stretch.start - earlier, self.start)
        end = min(self.stretch.end - earlier, self.end)
        return max(end - start, 0.0)


def _stretches(samples: Iterable[Sample]) -> Iterator[_Stretch]:
    start: float | None = None
    at = 0.0
    before: LedgerReading | None = None
    silent: list[float] = []
    for sample in samples:
        if "mock" not in sample:
            continue
        at, after = sample["at"], LedgerReading.of(sample)
        if start is None:
            start = at
        if after is None:
            silent.append(at)
            continue
        if at > start:
            yield _Stretch(start, at, before, after, tuple(silent))
        start, before, silent = at, after, []
    if start is not None and at > start:
        yield _Stretch(start, at, before, None, tuple(silent))


def _reason(stretches: Iterable[_Stretch]) -> str:
    """The mock's own reasons, of the worst second that it reported."""
    judged = [stretch.after.fidelity for stretch in stretches if stretch.after]
    worst = max(judged, key=lambda one: (bool(one.reasons), one.lag))
    return "; ".join(worst.reasons) or "its own counters say so, without a reason in any sample"
