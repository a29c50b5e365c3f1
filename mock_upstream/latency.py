"""
How long the upstream takes: a distribution, written as text.

    50ms                               always the same
    uniform(20ms,80ms)                 anything between, equally likely
    exponential(50ms)                  by its mean
    lognormal(p50=50ms,p99=200ms)      by two quantiles
    p50=50ms p95=120ms p99=300ms max=1s    by any quantiles, cut off at max

Each is an inverse CDF: one uniform number in, seconds out. No delay exceeds an hour.
"""

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from math import exp, log, log1p
from statistics import NormalDist

from mock_upstream.durations import LONGEST, NUMBER, format_duration, format_number, parse_duration

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_LOG_LONGEST = log(LONGEST)


class Latency(ABC):
    """A distribution of delays. `str` gives the text that `parse` reads back as an equal one."""

    __slots__ = ()

    @abstractmethod
    def quantile(self, u: float) -> float:
        """Seconds that a share u of all delays stays within; 0 < u < 1, never decreasing."""

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Constant(Latency):
    """Always the same delay."""

    value: float  # seconds

    def quantile(self, u: float) -> float:
        return self.value

    def __str__(self) -> str:
        return format_duration(self.value)


@dataclass(frozen=True, slots=True)
class Uniform(Latency):
    """Every delay from low to high is equally likely."""

    low: float  # seconds
    high: float  # seconds

    def quantile(self, u: float) -> float:
        return self.low * (1 - u) + self.high * u

    def __str__(self) -> str:
        return f"uniform({format_duration(self.low)},{format_duration(self.high)})"


@dataclass(frozen=True, slots=True)
class Exponential(Latency):
    """Memoryless, as service times are in the queues of textbooks."""

    mean: float  # seconds

    def quantile(self, u: float) -> float:
        return min(-self.mean * log1p(-u), LONGEST)

    def __str__(self) -> str:
        return f"exponential({format_duration(self.mean)})"


@dataclass(frozen=True, slots=True)
class Lognormal(Latency):
    """A body with a long tail, the usual first guess for a remote call."""

    p50: float  # seconds
    p99: float  # seconds

    def quantile(self, u: float) -> float:
        spread = (log(self.p99) - log(self.p50)) / _Z99
        return exp(min(log(self.p50) + spread * _NORMAL.inv_cdf(u), _LOG_LONGEST))

    def __str__(self) -> str:
        return f"lognormal(p50={format_duration(self.p50)},p99={format_duration(self.p99)})"


@dataclass(frozen=True, slots=True)
class Percentiles(Latency):
    """
    Through the given quantiles exactly, and straight between them on lognormal paper.

    Interpolation is linear in (normal quantile, log of the delay): monotone, exact where the
    truth is lognormal. Beyond the outermost quantiles the outermost line goes on, up to `most`.
    """

    points: tuple[tuple[float, float], ...]  # (percent, seconds), both rising, two at least
    most: float | None = None  # seconds; tails end here
    _z: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _log: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _log_most: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen for everyone else
        put(self, "_z", tuple(_NORMAL.inv_cdf(percent / 100) for percent, _ in self.points))
        put(self, "_log", tuple(log(seconds) for _, seconds in self.points))
        put(self, "_log_most", _LOG_LONGEST if self.most is None else log(self.most))

    def quantile(self, u: float) -> float:
        z, xs, ys = _NORMAL.inv_cdf(u), self._z, self._log
        right = min(max(bisect_right(xs, z), 1), len(xs) - 1)
        x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
        slope = (y1 - y0) / (x1 - x0)
        # Capped inside, and from the right end beyond it: rounding must not let pieces overlap.
        y = y1 + slope * (z - x1) if z >= x1 else min(y0 + slope * (z - x0), y1)
        return exp(min(y, self._log_most))

    def __str__(self) -> str:
        words = [f"{_rank(percent)}={format_duration(seconds)}" for percent, seconds in self.points]
        if self.most is not None:
            words.append(f"max={format_duration(self.most)}")
        return " ".join(words)


def _rank(percent: float) -> str:
    return "p" + format_number(Decimal(repr(percent)))


class LatencyError(ValueError):
    """A latency that cannot be; the message shows the place in the text."""

    def __init__(self, text: str, start: int, end: int, why: str) -> None:
        shown = re.sub(r"\s", " ", text)
        mark = "^" * max(end - start, 1)
        super().__init__(f"{why} (column {start + 1})\n  {shown}\n  {' ' * start}{mark}")


def parse(text: str) -> Latency:
    """
    The distribution that the text describes; see the top of this module.

    Raises:
        LatencyError: with the place and the reason.
    """
    return _Parser(text).latency()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class _Parser:
    """Recursive descent over the tokens of one text."""

    _TOKEN = re.compile(rf"{NUMBER}\s*[A-Za-zµ%]*|[A-Za-z_][\w.]*|\S")
    _RANK = re.compile(r"p(\d+(?:\.\d+)?)")

    def __init__(self, text: str) -> None:
        self._text = text
        found = (_Token(m.group().rstrip(), m.start()) for m in self._TOKEN.finditer(text))
        self._tokens = [*found, _Token("", len(text))]
        self._next = 0

    def latency(self) -> Latency:
        functions = self._functions()
        first, second = self._tokens[0], self._tokens[min(1, len(self._tokens) - 1)]
        result: Latency
        if not first.text:
            raise self._error(first, "the latency is empty; write one such as 50ms")
        if second.text == "=":
            result = self._percentiles()
        elif first.text in functions:
            self._next += 1
            result = functions[first.text]()
        elif first.text[0].isalpha():
            known = ", ".join(functions)
            raise self._error(
                first,
                f"there is no latency called {first.text!r}; there are: {known}, p50=... p95=...",
            )
        else:
            result = Constant(self._duration()[0])
        if self._peek().text:
            raise self._error(self._peek(), f"{self._peek().text!r} is one thing too many")
        return result

    def _functions(self) -> dict[str, Callable[[], Latency]]:
        return {
            "uniform": self._uniform,
            "exponential": self._exponential,
            "lognormal": self._lognormal,
        }

    def _uniform(self) -> Latency:
        self._expect("(")
        low, low_at = self._duration()
        self._expect(",")
        high, high_at = self._duration()
        self._expect(")")
        if high < low:
            raise self._error(
                high_at, f"{high_at.text} is below {low_at.text}; the lower comes first"
            )
        return Uniform(low, high)

    def _exponential(self) -> Latency:
        self._expect("(")
        mean = self._positive("the mean")
        self._expect(")")
        return Exponential(mean)

    def _lognormal(self) -> Latency:
        self._expect("(")
        values = []
        for name, after in (("p50", ","), ("p99", ")")):
            self._expect(name)
            self._expect("=")
            at = self._peek()
            values.append(self._positive(name))
            self._expect(after)
        p50, p99 = values
        if p99 < p50:
            raise self._error(at, f"p99={at.text} is below p50={format_duration(p50)}")
        return Lognormal(p50, p99)

    def _percentiles(self) -> Latency:
        points: dict[float, tuple[float, _Token]] = {}
        most: tuple[float, _Token] | None = None
        while self._peek().text:
            name = self._take()
            percent = None if name.text == "max" else self._percent(name)
            self._expect("=")
            at = self._peek()
            if percent in points or (percent is None and most):
                raise self._error(name, f"{name.text} is given twice")
            value = self._positive(name.text), at
            if percent is None:
                most = value
            else:
                points[percent] = value
        if len(points) < 2:
            raise self._error(
                _Token(self._text, 0),
                "one quantile makes no spread; give two or more, or just 50ms",
            )
        ranked = [(percent, *points[percent]) for percent in sorted(points)]
        for (low_rank, low, _), (high_rank, high, at) in pairwise(ranked):
            if high < low:
                low_text = f"{_rank(low_rank)}={format_duration(low)}"
                raise self._error(at, f"{_rank(high_rank)}={at.text} is below {low_text}")
            if not _NORMAL.inv_cdf(low_rank / 100) < _NORMAL.inv_cdf(high_rank / 100):
                raise self._error(at, f"{_rank(high_rank)} and {_rank(low_rank)} are too close")
        top_rank, top, _ = ranked[-1]
        if most and most[0] < top:
            top_text = f"{_rank(top_rank)}={format_duration(top)}"
            raise self._error(most[1], f"max={most[1].text} is below {top_text}")
        return Percentiles(tuple((rank, x) for rank, x, _ in ranked), most[0] if most else None)

    def _percent(self, name: _Token) -> float:
        match = self._RANK.fullmatch(name.text)
        if not match:
            raise self._error(name, f"{name.text!r} is no quantile; write p50=50ms p95=1s max=2s")
        percent = float(match.group(1))
        if not 0 < percent / 100 < 1:
            raise self._error(name, f"{name.text} is no quantile; they lie between p0 and p100")
        return percent

    def _positive(self, what: str) -> float:
        seconds, at = self._duration()
        if seconds == 0:
            raise self._error(at, f"{what} must be above 0; 0ms alone means no delay")
        return seconds

    def _duration(self) -> tuple[float, _Token]:
        token = self._take()
        if not token.text:
            raise self._error(token, "a duration such as 50ms is missing here")
        try:
            return parse_duration(token.text), token
        except ValueError as error:
            raise self._error(token, str(error)) from None

    def _expect(self, text: str) -> None:
        token = self._take()
        if token.text != text:
            found = repr(token.text) if token.text else "the end"
            raise self._error(token, f"expected {text!r}, found {found}")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek()
        if token.text:
            self._next += 1
        return token

    def _error(self, token: _Token, why: str) -> LatencyError:
        return LatencyError(self._text, token.start, token.end, why)
