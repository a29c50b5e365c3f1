"""
How long the upstream takes: a distribution, written as text.

    50ms                                   always the same
    uniform(20ms,80ms)                     anything between, equally likely
    normal(mean=50ms,sd=10ms)              a bell curve, cut off at 0
    exponential(50ms)                      by its mean
    gamma(mean=50ms,shape=2.5)             the more even the larger the shape
    erlang(mean=50ms,shape=3)              a gamma of whole steps
    lognormal(p50=50ms,p99=200ms)          by two quantiles
    lognormal(mean=60ms,p50=50ms)          by mean and median
    pareto(min=20ms,alpha=1.5,max=10s)     a heavy tail, up to a bound
    p50=50ms p95=120ms p99=300ms max=1s    by any quantiles, cut off at max
    file(calls.csv, unit=ms)               as it was recorded
    file(calls.jsonl, field=took, unit=ms)
    0.9*lognormal(p50=20ms,p99=80ms) + 0.1*uniform(1s,2s)
    0.9*(p50=20ms p95=80ms) + 0.1*2s       parts, each as often as its weight says

`mock_upstream.latency.distributions`, `mixtures` and `recorded` say what each of them is.
"""

import re
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

from mock_upstream.latency.distributions import (
    Constant,
    Exponential,
    Gamma,
    Latency,
    Lognormal,
    Normal,
    Pareto,
    Percentiles,
    Uniform,
    rank,
)
from mock_upstream.latency.mixtures import Mixture
from mock_upstream.latency.recorded import RecordedError, load
from mock_upstream.units.durations import UNITS, format_duration, parse_duration
from mock_upstream.units.grammar import NUMBER, Argument, Function, TextError, Token, Tokens, Value

LONGEST_TEXT = 2000  # characters
MOST_PARTS = 16
DEEPEST = 4  # brackets in brackets

_SHORTEST = 1e-9  # seconds; below it lies no clock's tick
_NORMAL = NormalDist()
_RANK = re.compile(r"p(\d+(?:\.\d+)?)")
_NUMBER = re.compile(NUMBER)


def parse(text: str, folder: Path | None = None) -> Latency:
    """
    Return the distribution that the text describes; see the top of this module.

    Args:
        folder: where `file(...)` looks for a relative path. None: no file is read, as is right
            for a text that came over the network.

    Raises:
        TextError: with the place and the reason.
    """
    if len(text) > LONGEST_TEXT:
        raise TextError(
            text,
            LONGEST_TEXT,
            LONGEST_TEXT,
            f"{len(text):,} characters are too many for a latency; {LONGEST_TEXT:,} are the most",
        )
    latency = _Parser(text, folder).latency()
    if len(str(latency)) > LONGEST_TEXT:  # which could then not be read back
        raise TextError(text, 0, 0, f"written out, it has more than {LONGEST_TEXT:,} characters")
    return latency


def _duration(tokens: Tokens, name: str) -> Value:
    token = tokens.take()
    if not token.text:
        raise tokens.error(token, "a duration such as 50ms is missing here")
    try:
        seconds = parse_duration(token.text)
    except ValueError as error:
        raise tokens.error(token, str(error)) from None
    if 0 < seconds < _SHORTEST:
        raise tokens.error(token, f"{token.text!r} is shorter than a nanosecond; 0ms is none")
    return seconds, token


def _positive(tokens: Tokens, name: str) -> Value:
    seconds, token = _duration(tokens, name)
    if seconds == 0:
        raise tokens.error(token, f"{name} must be above 0; 0ms alone means no delay")
    return seconds, token


def _number(least: float, most: float) -> Argument:
    def read(tokens: Tokens, name: str) -> Value:
        token = tokens.take()
        if not _NUMBER.fullmatch(token.text):
            raise tokens.error(token, f"{name} must be a number, not {token.text!r}")
        number = float(token.text)
        if not least <= number <= most:
            raise tokens.error(token, f"{name} must lie between {least:g} and {most:g}")
        return number, token

    return read


def _steps(tokens: Tokens, name: str) -> Value:
    number, token = _number(1, 1000)(tokens, name)
    if not number.is_integer():
        raise tokens.error(token, f"erlang's shape counts steps; for {token.text} take gamma")
    return number, token


_FUNCTIONS = {
    "uniform": Function(Uniform, {"low": _duration, "high": _duration}, (("low", "high"),)),
    "normal": Function(Normal, {"mean": _positive, "sd": _positive}),
    "exponential": Function(Exponential, {"mean": _positive}),
    "gamma": Function(Gamma, {"mean": _positive, "shape": _number(0.1, 1000)}),
    "erlang": Function(Gamma, {"mean": _positive, "shape": _steps}),
    "lognormal": Function(
        Lognormal,
        {"p50": _positive, "p99": _positive, "mean": _positive},
        (("p50", "p99"), ("p50", "mean")),
        ways=({"p50", "p99"}, {"mean", "p50"}),
    ),
    "pareto": Function(
        Pareto,
        {"min": _positive, "alpha": _number(0.01, 100), "max": _positive},
        (("min", "max"),),
        strict=True,
    ),
}


class _Parser(Tokens):
    """Recursive descent through one text."""

    def __init__(self, text: str, folder: Path | None) -> None:
        super().__init__(text)
        self._folder = folder
        self._depth = 0

    def latency(self) -> Latency:
        if not self.peek().text:
            raise self.error(self.peek(), "the latency is empty; write one such as 50ms")
        result = self._sum()
        self.end()
        return result

    def _sum(self) -> Latency:
        """Read quantiles, one distribution, or several with their weights."""
        first = self.peek()
        if self.is_named():
            return self._percentiles()
        parts: list[tuple[float, Latency]] = []
        bare: Token | None = None
        while not parts or self.take_if("+"):
            if len(parts) == MOST_PARTS:
                raise self.error(self.peek(), f"{MOST_PARTS} parts are the most there may be")
            start = self.peek()
            weighted = self.is_before("*")
            if not weighted:
                bare = bare or start
            parts.append((self._weight() if weighted else 1.0, self._part()))
        if bare and len(parts) > 1:
            raise self.error(bare, f"{bare.text!r} needs a weight; write 0.9*{bare.text}")
        if not any(weight for weight, _ in parts):
            raise self.error(self.since(first), "every weight is 0; one must be above 0")
        return parts[0][1] if len(parts) == 1 else Mixture(tuple(parts))

    def _weight(self) -> float:
        token = self.take()
        self.expect("*")
        if not _NUMBER.fullmatch(token.text):
            raise self.error(token, f"{token.text!r} is not a weight; write a number, such as 0.9")
        weight = float(token.text)
        if weight < 0:
            raise self.error(token, f"the weight {token.text} is negative")
        if weight and not 1e-6 <= weight <= 1e6:
            raise self.error(token, "a weight is 0, or between 0.000001 and 1000000")
        return weight

    def _part(self) -> Latency:
        token = self.peek()
        if token.text == "(":
            return self._brackets()
        if self.is_named():
            raise self.error(token, "quantiles need brackets here: 0.9*(p50=20ms p95=80ms)")
        if not token.text[:1].isalpha():
            return Constant(_duration(self, "")[0])
        self.take()
        if token.text == "file":
            return self._file()
        if token.text not in _FUNCTIONS:
            known = ", ".join([*_FUNCTIONS, "file"])
            raise self.error(
                token,
                f"there is no latency called {token.text!r}; there are: {known}, p50=... p95=...",
            )
        latency: Latency = self.call(_FUNCTIONS[token.text])
        return latency

    def _brackets(self) -> Latency:
        opening = self.take()
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error(opening, f"more than {DEEPEST} brackets in brackets")
        result = self._sum()
        self.expect(")")
        self._depth -= 1
        return result

    def _file(self) -> Latency:
        self.expect("(")
        token, path = self.raw()
        options: dict[str, str] = {}
        while self.take_if(","):
            name = self.take()
            if name.text not in ("field", "unit"):
                raise self.error(name, f"file has no {name.text!r}; it takes field and unit")
            if name.text in options:
                raise self.error(name, f"{name.text} is given twice")
            self.expect("=")
            option, options[name.text] = self.raw()
            if name.text == "unit" and option.text not in UNITS:
                known = ", ".join(UNITS)
                raise self.error(option, f"unknown unit {option.text!r}; there are: {known}")
        self.expect(")")
        if self._folder is None:
            raise self.error(token, "no file is read here; name it in a profile's file instead")
        try:
            return load(self._folder / path, **options)
        except RecordedError as error:
            raise self.error(token, str(error)) from None

    def _percentiles(self) -> Latency:
        points: dict[float, Value] = {}
        most: Value | None = None
        first = self.peek()
        while self.peek().text not in ("", ")"):
            name = self.take()
            percent = None if name.text == "max" else self._percent(name)
            self.expect("=")
            if percent in points or (percent is None and most):
                raise self.error(name, f"{name.text} is given twice")
            value = _positive(self, name.text)
            if percent is None:
                most = value
            else:
                points[percent] = value
        if len(points) < 2:
            whole = self.since(first)
            raise self.error(whole, "one quantile makes no spread; give two or more, or just 50ms")
        ranked = [(percent, *points[percent]) for percent in sorted(points)]
        for (low_rank, low, _), (high_rank, high, token) in pairwise(ranked):
            if high < low:
                low_text = f"{rank(low_rank)}={format_duration(low)}"
                raise self.error(token, f"{rank(high_rank)}={token.text} is below {low_text}")
            if not _NORMAL.inv_cdf(low_rank / 100) < _NORMAL.inv_cdf(high_rank / 100):
                raise self.error(token, f"{rank(high_rank)} and {rank(low_rank)} are too close")
        top_rank, top, _ = ranked[-1]
        if most and most[0] < top:
            top_text = f"{rank(top_rank)}={format_duration(top)}"
            raise self.error(most[1], f"max={most[1].text} is below {top_text}")
        return Percentiles(tuple((rank, x) for rank, x, _ in ranked), most[0] if most else None)

    def _percent(self, name: Token) -> float:
        match = _RANK.fullmatch(name.text)
        if not match:
            raise self.error(name, f"{name.text!r} is not a quantile; write p50=50ms p95=1s max=2s")
        percent = float(match.group(1))
        if not 0 < percent / 100 < 1:
            raise self.error(name, f"{name.text} is not a quantile; they lie between p0 and p100")
        return percent
