"""
Keeps rate limits: admits or refuses, says when to come again, and counts who came too early.

    limiter = Limiter(profile.limits, monotonic())
    permit = limiter.admit(exchange.arrival, route.name, exchange.address, exchange.headers)
    if isinstance(permit, Refusal):     # answer permit.status with permit.headers
    permit.release()                    # once the request is over, whatever became of it

Inside, times are whole nanoseconds: what is exactly at a limit is decided by arithmetic, not
by rounding.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nlargest
from typing import Any

from mock_upstream.admission.rate_limits import (
    LOGGED,
    NANOSECONDS,
    Concurrency,
    FixedWindow,
    Limit,
    SlidingWindow,
    TokenBucket,
)

TimedLimit = TokenBucket | FixedWindow | SlidingWindow
Header = tuple[bytes, bytes]
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class RefusalAnswer:
    """What a request gets that was not admitted."""

    status: int
    headers: list[Header]


class Permit:
    """An admitted request, for as long as it lasts."""

    __slots__ = ("_held",)

    def __init__(self, held: "list[tuple[_ConcurrencyGate, str]]") -> None:
        self._held = held

    def release(self) -> None:
        """Release the request's permits. A second call changes nothing."""
        held, self._held = self._held, []
        for gate, key in held:
            gate.release(key)


_NOTHING_HELD = Permit([])


@dataclass(frozen=True, slots=True)
class Limited:
    """What one limit did, since the limiter was made."""

    kind: str
    key: str
    refused: int
    early_retries: int
    """Requests that came before the Retry-After that their key was last given was over."""
    keys: int
    """Remembered now."""
    early_by_key: dict[str, int]
    """
    The keys with the most early retries, ten at most, of those remembered. A header's value
    is named by its digest, as it may be a secret.
    """


class Limiter:
    """A list of limits, each with what it has counted."""

    def __init__(self, limits: Sequence[Limit], now: float) -> None:
        self._now = self._origin = _nanoseconds(now)
        self._gates: list[_Gate] = []
        self.adopt(limits)

    def admit(
        self, now: float, route: str, address: str, headers: Headers
    ) -> Permit | RefusalAnswer:
        """
        A request that arrived at `now`, in monotonic seconds; `headers` have lower-case names.

        Time may not go back; one that does counts as the latest seen. Where several limits
        refuse the request, the one that will do so for longest answers.
        """
        at = self._now = max(_nanoseconds(now), self._now)
        asked = [(gate, gate.key_of(route, address, headers)) for gate in self._gates]
        refusing, latest = None, float(at)
        for gate, key in asked:
            ready = gate.ask(key, at)
            if ready > latest:
                refusing, latest = (gate, key), ready
        if refusing:
            gate, key = refusing
            return gate.refuse(key, at)
        held = []
        for gate, key in asked:
            gate.take(key, at)
            if isinstance(gate, _ConcurrencyGate):
                held.append((gate, key))
        return Permit(held) if held else _NOTHING_HELD

    def adopt(self, limits: Sequence[Limit]) -> None:
        """
        Go on with other settings.

        A limit goes on counting from what it has if its place in the list, kind, key and `per`
        are as before; any other starts afresh.
        """
        before = self._gates
        self._gates = []
        for place, limit in enumerate(limits):
            gate = before[place] if place < len(before) else None
            if gate is None or not gate.adopt(limit):
                gate = _gate(limit, self._origin)
            self._gates.append(gate)

    def account(self) -> list[Limited]:
        """The limits that turned requests away, in the order of the profile."""
        return [gate.account() for gate in self._gates]


class _Gate(ABC):
    """One limit. Times are nanoseconds."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.refused = 0
        kind, _, name = limit.key.partition(":")
        self._kind = kind
        self._header = name.encode("ascii")

    def key_of(self, route: str, address: str, headers: Headers) -> str:
        """The key under which this limit counts a request."""
        if self._kind == "all":
            return ""
        if self._kind == "route":
            return route
        if self._kind == "address":
            return address
        value = headers.get(self._header)
        # A digest is short, however long the value, and gives no secret away.
        return "" if value is None else blake2b(value, digest_size=8).hexdigest()

    @abstractmethod
    def ask(self, key: str, at: int) -> float:
        """When a request will be admitted, if nobody else asks: until `at`, it is now."""

    @abstractmethod
    def take(self, key: str, at: int) -> None:
        """Count the request as admitted."""

    @abstractmethod
    def refuse(self, key: str, at: int) -> RefusalAnswer:
        """Count the request as refused, after `ask` said so."""

    @abstractmethod
    def adopt(self, limit: Limit) -> bool:
        """Go on with another limit; False if what was counted says nothing about that one."""

    @abstractmethod
    def account(self) -> Limited: ...


class _TimedGate(_Gate):
    """A limit on requests in a time: a meter for each key, the longest silent first."""

    limit: TimedLimit

    def __init__(self, limit: TimedLimit, origin: int) -> None:
        super().__init__(limit)
        self._origin = origin
        self._meters: OrderedDict[str, _Meter] = OrderedDict()
        self._early = 0

    def ask(self, key: str, at: int) -> float:
        meter = self._meters.get(key)
        if meter is None:
            return at
        self._meters.move_to_end(key)
        if at < meter.promised:
            meter.early += 1
            self._early += 1
        return meter.ready(at, self.limit)

    def take(self, key: str, at: int) -> None:
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _METERS[self.limit.kind](self._origin)
            while len(self._meters) > self._most():
                self._meters.popitem(last=False)
        meter.promised = at  # it is back in favour: what comes next is not a retry
        meter.take(at, self.limit)

    def refuse(self, key: str, at: int) -> RefusalAnswer:
        self.refused += 1
        limit, meter = self.limit, self._meters[key]
        honest = _whole_seconds(meter.ready(at, limit) - at)
        headers: list[Header] = []
        if limit.retry_after != "absent":
            late = limit.retry_after == "late"
            seconds = honest + (_whole_seconds(_nanoseconds(limit.late_by)) if late else 0)
            meter.promised = at + seconds * NANOSECONDS
            headers.append((b"retry-after", b"%d" % seconds))
        if limit.ratelimit_headers:
            headers += [
                (b"ratelimit-limit", b"%d" % limit.limit),
                (b"ratelimit-remaining", b"0"),
                (b"ratelimit-reset", b"%d" % honest),
            ]
        return RefusalAnswer(limit.status, headers)

    def adopt(self, limit: Limit) -> bool:
        if isinstance(limit, Concurrency) or _counts(limit) != _counts(self.limit):
            return False
        self.limit = limit
        while len(self._meters) > self._most():
            self._meters.popitem(last=False)
        return True

    def account(self) -> Limited:
        early = {key: meter.early for key, meter in self._meters.items() if meter.early}
        return Limited(
            kind=self.limit.kind,
            key=self.limit.key,
            refused=self.refused,
            early_retries=self._early,
            keys=len(self._meters),
            early_by_key={key: early[key] for key in nlargest(10, early, key=early.__getitem__)},
        )

    def _most(self) -> int:
        """Keys that are remembered."""
        if isinstance(self.limit, SlidingWindow):
            return min(self.limit.keys, LOGGED // self.limit.limit)
        return self.limit.keys


class _ConcurrencyGate(_Gate):
    """A limit on requests at once; it remembers the keys of those there are."""

    limit: Concurrency

    def __init__(self, limit: Concurrency) -> None:
        super().__init__(limit)
        self._at_once: dict[str, int] = {}

    def ask(self, key: str, at: int) -> float:
        return float("inf") if self._at_once.get(key, 0) >= self.limit.limit else at

    def take(self, key: str, at: int) -> None:
        self._at_once[key] = self._at_once.get(key, 0) + 1

    def release(self, key: str) -> None:
        self._at_once[key] -= 1
        if not self._at_once[key]:
            del self._at_once[key]

    def refuse(self, key: str, at: int) -> RefusalAnswer:
        self.refused += 1
        return RefusalAnswer(self.limit.status, [])

    def adopt(self, limit: Limit) -> bool:
        if not isinstance(limit, Concurrency) or limit.key != self.limit.key:
            return False
        self.limit = limit
        return True

    def account(self) -> Limited:
        return Limited(
            kind=self.limit.kind,
            key=self.limit.key,
            refused=self.refused,
            early_retries=0,
            keys=len(self._at_once),
            early_by_key={},
        )


class _Meter(ABC):
    """What one key has used of a limit, whose numbers may change meanwhile."""

    __slots__ = ("early", "promised")

    def __init__(self, origin: int) -> None:
        self.promised = origin
        """Until when its last Retry-After lasts."""
        self.early = 0

    @abstractmethod
    def ready(self, at: int, limit: Any) -> int:
        """The moment from which a request is admitted; `at` or earlier means now."""

    @abstractmethod
    def take(self, at: int, limit: Any) -> None:
        """Admit one."""


class _Bucket(_Meter):
    """
    Tokens that are missing, in units of a token over the period, so that all numbers are whole.

    A nanosecond then brings `limit` units, and a request takes `period` of them.
    """

    __slots__ = ("_missing", "_since")

    def __init__(self, origin: int) -> None:
        super().__init__(origin)
        self._missing = 0
        self._since = origin

    def ready(self, at: int, limit: TokenBucket) -> int:
        excess = self._missing - (limit.size - 1) * limit.period
        return self._since - (-excess // limit.limit)

    def take(self, at: int, limit: TokenBucket) -> None:
        gained = (at - self._since) * limit.limit
        self._missing = max(self._missing - gained, 0) + limit.period
        self._since = at


class _Window(_Meter):
    """The count of one window, the last in which a request was admitted."""

    __slots__ = ("_count", "_end", "_origin")

    def __init__(self, origin: int) -> None:
        super().__init__(origin)
        self._origin = origin
        self._end = origin
        self._count = 0

    def ready(self, at: int, limit: FixedWindow) -> int:
        return self._end if self._count >= limit.limit else at

    def take(self, at: int, limit: FixedWindow) -> None:
        if at >= self._end:
            passed = (at - self._origin) // limit.period
            self._end = self._origin + (passed + 1) * limit.period
            self._count = 0
        self._count += 1


class _Log(_Meter):
    """The arrivals of the last period that were admitted."""

    __slots__ = ("_arrivals",)

    def __init__(self, origin: int) -> None:
        super().__init__(origin)
        self._arrivals: deque[int] = deque()

    def ready(self, at: int, limit: SlidingWindow) -> int:
        excess = len(self._arrivals) - limit.limit
        return at if excess < 0 else self._arrivals[excess] + limit.period

    def take(self, at: int, limit: SlidingWindow) -> None:
        arrivals = self._arrivals
        while arrivals and arrivals[0] + limit.period <= at:
            arrivals.popleft()
        arrivals.append(at)


_METERS: dict[str, Callable[[int], _Meter]] = {
    "token_bucket": _Bucket,
    "fixed_window": _Window,
    "sliding_window": _Log,
}


def _gate(limit: Limit, origin: int) -> _Gate:
    return _ConcurrencyGate(limit) if isinstance(limit, Concurrency) else _TimedGate(limit, origin)


def _counts(limit: TimedLimit) -> tuple[str, str, float]:
    """What must stay for a count to stay true."""
    return limit.kind, limit.key, limit.per


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def _whole_seconds(nanoseconds: int) -> int:
    """Rounded up."""
    return -(-nanoseconds // NANOSECONDS)
