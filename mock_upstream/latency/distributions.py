"""
Distributions of delays, as inverse CDFs: one uniform number in, seconds out.

`mock_upstream.latency.parser` writes them as text. No delay exceeds an hour.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field
from math import erfc, exp, expm1, inf, log, log1p, sqrt
from statistics import NormalDist

from mock_upstream.latency import gamma
from mock_upstream.units.durations import LONGEST, format_duration
from mock_upstream.units.grammar import format_number

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
    def cdf(self, x: float) -> float:
        """The share of delays of at most x seconds."""

    def exceeds(self, most: float) -> bool:
        """Whether the median is above `most` seconds; a quantile takes much longer to find."""
        return self.cdf(most) < 0.5 - 1e-9

    def jumps(self) -> tuple[float, ...]:
        """Where the CDF may jump: delays that come again and again, exactly."""
        return (LONGEST,)

    @abstractmethod
    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Constant(Latency):
    """Always the same delay."""

    value: float  # seconds

    def quantile(self, u: float) -> float:
        return self.value

    def cdf(self, x: float) -> float:
        return float(x >= self.value)

    def jumps(self) -> tuple[float, ...]:
        return (self.value,)

    def __str__(self) -> str:
        return format_duration(self.value)


@dataclass(frozen=True, slots=True)
class Uniform(Latency):
    """Every delay from low to high is equally likely."""

    low: float  # seconds
    high: float  # seconds

    def quantile(self, u: float) -> float:
        return self.low * (1 - u) + self.high * u

    def cdf(self, x: float) -> float:
        if x >= self.high:
            return 1.0
        return max(x - self.low, 0.0) / (self.high - self.low) if x > self.low else 0.0

    def jumps(self) -> tuple[float, ...]:
        return (self.high,)  # where low is as high

    def __str__(self) -> str:
        return f"uniform({format_duration(self.low)},{format_duration(self.high)})"


@dataclass(frozen=True, slots=True)
class Exponential(Latency):
    """Memoryless, as service times are in the queues of textbooks."""

    mean: float  # seconds

    def quantile(self, u: float) -> float:
        return min(-self.mean * log1p(-u), LONGEST)

    def cdf(self, x: float) -> float:
        return 1.0 if x >= LONGEST else -expm1(-x / self.mean)

    def __str__(self) -> str:
        return f"exponential({format_duration(self.mean)})"


@dataclass(frozen=True, slots=True)
class Gamma(Latency):
    """A sum of `shape` exponential steps; between two whole numbers as well."""

    mean: float  # seconds
    shape: float
    _table: gamma.QuantileTable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", gamma.QuantileTable(self.shape))

    def quantile(self, u: float) -> float:
        return min(self._table.quantile(u) * (self.mean / self.shape), LONGEST)

    def cdf(self, x: float) -> float:
        return 1.0 if x >= LONGEST else gamma.cdf(self.shape, x / (self.mean / self.shape))

    def __str__(self) -> str:
        return f"gamma(mean={format_duration(self.mean)},shape={format_number(self.shape)})"


@dataclass(frozen=True, slots=True)
class Lognormal(Latency):
    """A body with a long tail, the usual first guess for a remote call: by p99, or by mean."""

    p50: float  # seconds
    p99: float | None = None  # seconds; or:
    mean: float | None = None  # seconds, which many dashboards show
    _mu: float = field(init=False, repr=False, compare=False)
    _sigma: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        mu = log(self.p50)
        if self.p99 is not None:
            sigma = (log(self.p99) - mu) / _Z99
        else:
            assert self.mean is not None
            sigma = sqrt(2 * (log(self.mean) - mu))
        object.__setattr__(self, "_mu", mu)
        object.__setattr__(self, "_sigma", sigma)

    def quantile(self, u: float) -> float:
        return exp(min(self._mu + self._sigma * _NORMAL.inv_cdf(u), _LOG_LONGEST))

    def cdf(self, x: float) -> float:
        if x >= LONGEST or x <= 0 or not self._sigma:
            return float(x >= min(exp(self._mu), LONGEST))
        return normal_cdf((log(x) - self._mu) / self._sigma)

    def jumps(self) -> tuple[float, ...]:
        return (LONGEST,) if self._sigma else (exp(self._mu),)

    def __str__(self) -> str:
        p50 = f"p50={format_duration(self.p50)}"
        if self.mean is not None:
            return f"lognormal(mean={format_duration(self.mean)},{p50})"
        assert self.p99 is not None
        return f"lognormal({p50},p99={format_duration(self.p99)})"


@dataclass(frozen=True, slots=True)
class Normal(Latency):
    """
    A bell curve, truncated at 0: delays below 0 are drawn again.

    Mean and standard deviation are those of the curve before that. Where the mean is three
    standard deviations or more, the delays have the same to a hundredth; for sd = mean, their mean
    is 1.29 times as long.
    """

    mean: float  # seconds
    sd: float  # seconds
    _above: float = field(init=False, repr=False, compare=False)  # share of the curve above 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "_above", normal_cdf(self.mean / self.sd))

    def quantile(self, u: float) -> float:
        if u < 0.5:
            z = _NORMAL.inv_cdf(normal_cdf(-self.mean / self.sd) + u * self._above)
        else:  # from the other side, where small shares are exact
            z = -_NORMAL.inv_cdf((1 - u) * self._above)
        return min(max(self.mean + z * self.sd, 0.0), LONGEST)

    def cdf(self, x: float) -> float:
        if x >= LONGEST or x <= 0:
            return float(x >= LONGEST)
        return 1 - normal_cdf((self.mean - x) / self.sd) / self._above

    def __str__(self) -> str:
        return f"normal(mean={format_duration(self.mean)},sd={format_duration(self.sd)})"


@dataclass(frozen=True, slots=True)
class Pareto(Latency):
    """
    A heavy tail, the heavier the smaller alpha, up to `max`.

    The bounded Pareto distribution: no mass gathers at the bound, the rest is that much denser.
    """

    min: float  # seconds
    alpha: float
    max: float  # seconds
    _share: float = field(init=False, repr=False, compare=False)  # of the unbounded one

    def __post_init__(self) -> None:
        share = -expm1(self.alpha * (log(self.min) - log(self.max)))
        object.__setattr__(self, "_share", share)

    def quantile(self, u: float) -> float:
        return min(self.min * exp(-log1p(-u * self._share) / self.alpha), self.max)

    def cdf(self, x: float) -> float:
        if x >= self.max:
            return 1.0
        if x <= self.min:
            return 0.0
        return -expm1(self.alpha * (log(self.min) - log(x))) / self._share

    def jumps(self) -> tuple[float, ...]:
        return ()

    def __str__(self) -> str:
        least, most = format_duration(self.min), format_duration(self.max)
        return f"pareto(min={least},alpha={format_number(self.alpha)},max={most})"


@dataclass(frozen=True, slots=True)
class Percentiles(Latency):
    """
    A distribution through the given quantiles exactly, straight between them on lognormal paper.

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

    def cdf(self, x: float) -> float:
        if x >= exp(self._log_most):
            return 1.0
        y = log(x) if x > 0 else -inf
        xs, ys = self._z, self._log
        right = min(max(bisect_right(ys, y), 1), len(ys) - 1)
        x0, x1, y0, y1 = xs[right - 1], xs[right], ys[right - 1], ys[right]
        if y0 == y1:  # an outermost line that is level: everything lies on one side
            return float(y >= y1)
        return normal_cdf(x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))

    def jumps(self) -> tuple[float, ...]:
        return (*(exp(y) for y in self._log), exp(self._log_most))

    def __str__(self) -> str:
        words = [f"{rank(percent)}={format_duration(seconds)}" for percent, seconds in self.points]
        if self.most is not None:
            words.append(f"max={format_duration(self.most)}")
        return " ".join(words)


def rank(percent: float) -> str:
    """The name of a quantile: p99.9."""
    return f"p{format_number(percent)}"


def normal_cdf(z: float) -> float:
    """Unlike NormalDist.cdf, exact far below 0 as well."""
    return erfc(-z / sqrt(2)) / 2
