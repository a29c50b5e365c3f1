"""Mixtures: several distributions of delays, each as often as its weight says."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import floor, inf, nextafter
from statistics import NormalDist

from mock_upstream.latency.distributions import Latency, Percentiles, normal_cdf
from mock_upstream.units.grammar import format_number

_NORMAL = NormalDist()
_NEAR = 1e-10  # relative; how closely a quantile is found
_INSTANT = 1e-6  # seconds; below it the same closeness is an absolute one
_STEP = 0.0625  # of the normal quantile, between two nodes
_LARGEST_SHARE = nextafter(1, 0)


@dataclass(frozen=True, slots=True)
class Mixture(Latency):
    """
    Each delay comes from one of several distributions, as often as its weight says.

    The quantile inverts the mixture's CDF. To let u choose a part and stretch what is left of it
    would be quicker, but then a larger u could give a smaller delay: `quantile(0.95)` would not
    be the p95, and strata of u would not be strata of the delay.
    """

    parts: tuple[tuple[float, Latency], ...]  # (weight, distribution); weights of any sum above 0
    _leaves: tuple[tuple[float, Latency], ...] = field(init=False, repr=False, compare=False)
    _jumps: tuple[float, ...] = field(init=False, repr=False, compare=False)  # rising
    _before: tuple[float, ...] = field(init=False, repr=False, compare=False)  # CDF just before
    _after: tuple[float, ...] = field(init=False, repr=False, compare=False)  # CDF at the jump
    _nodes: dict[int, tuple[float, float]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen for everyone else
        put(self, "_nodes", {})
        put(self, "_leaves", tuple(self._shares()))
        places = sorted({at for _, leaf in self._leaves for at in leaf.jumps()})
        put(self, "_jumps", tuple(places))
        put(self, "_before", tuple(self.cdf(nextafter(at, -inf)) for at in places))
        put(self, "_after", tuple(self.cdf(at) for at in places))

    def _shares(self) -> Iterator[tuple[float, Latency]]:
        total = sum(weight for weight, _ in self.parts)
        for weight, part in self.parts:
            if weight:
                inner = part._leaves if isinstance(part, Mixture) else ((1.0, part),)
                yield from ((weight / total * share, leaf) for share, leaf in inner)

    def quantile(self, u: float) -> float:
        place = bisect_left(self._after, u)
        if place < len(self._jumps) and self._before[place] < u:
            return self._jumps[place]
        # Between two nodes of the normal quantile the CDF is almost a line: three steps or so.
        left = floor(_NORMAL.inv_cdf(u) / _STEP)
        low, at_low = self._nodes.get(left) or self._node(left)
        high, at_high = self._nodes.get(left + 1) or self._node(left + 1)
        if place < len(self._jumps) and self._jumps[place] < high:
            high, at_high = self._jumps[place], self._before[place]
        if place and self._jumps[place - 1] > low:
            low, at_low = self._jumps[place - 1], self._after[place - 1]
        return self._between(u, low, high, at_low, at_high)

    def _node(self, index: int) -> tuple[float, float]:
        """The quantile at a node, solved once, and the CDF there."""
        u = min(normal_cdf(index * _STEP), _LARGEST_SHARE)
        values = [leaf.quantile(u) for _, leaf in self._leaves]
        low, high = min(values), max(values)
        x = self._between(u, low, high, self.cdf(low), self.cdf(high))
        self._nodes[index] = x, self.cdf(x)
        return self._nodes[index]

    def _between(self, u: float, low: float, high: float, at_low: float, at_high: float) -> float:
        """
        Where the CDF reaches u, given its values at both ends.

        The ITP method (Oliveira and Takahashi, ACM Transactions on Mathematical Software 47,
        2020): regula falsi, pulled to the middle so that it never takes much longer than halving.
        """
        if at_low >= u or at_high <= u:
            return low if at_low >= u else high
        start = reach = high - low
        while high - low > _NEAR * (high + _INSTANT):
            middle = (low + high) / 2
            secant = low + (high - low) * (u - at_low) / (at_high - at_low)
            side = 1.0 if secant <= middle else -1.0
            pull = 0.2 / start * (high - low) ** 2
            x = secant + side * pull if pull <= abs(middle - secant) else middle
            allowed = reach - (high - low) / 2  # halving would be within reach / 2 by now
            if abs(x - middle) > allowed:
                x = middle - side * allowed
            reach /= 2
            at_x = self.cdf(x)
            if at_x < u:
                low, at_low = x, at_x
            elif at_x > u:
                high, at_high = x, at_x
            else:
                return x
        return high

    def cdf(self, x: float) -> float:
        return sum(share * leaf.cdf(x) for share, leaf in self._leaves)

    def jumps(self) -> tuple[float, ...]:
        return self._jumps

    def __str__(self) -> str:
        return " + ".join(
            f"{format_number(weight)}*({part})"
            if isinstance(part, Mixture | Percentiles)
            else f"{format_number(weight)}*{part}"
            for weight, part in self.parts
        )
