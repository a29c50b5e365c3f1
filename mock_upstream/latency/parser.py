"""
How long the upstream takes: a distribution, written as text.

    50ms                                   always the same
    uniform(20ms,80ms)                     anything between, equally likely
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
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

from mock_upstream.latency.distributions import (
    Constant,
    Exponential,
    Gamma,
    Latency,
    Lognormal,
    LognormalOfMean,
    Pareto,
    Percentiles,
    Uniform,
    rank,
)
from mock_upstream.latency.mixtures import Mixture
from mock_upstream.latency.recorded import Recorded, RecordedError, load
from mock_upstream.latency.tokens import LatencyError, Token, Tokens
from mock_upstream.units.durations import NUMBER, UNITS, format_duration, parse_duration

__all__ = [
    "Constant",
    "Exponential",
    "Gamma",
    "Latency",
    "LatencyError",
    "Lognormal",
    "LognormalOfMean",
    "Mixture",
    "Pareto",
    "Percentiles",
    "Recorded",
    "Uniform",
    "parse",
]

LONGEST_TEXT = 2000  # characters
MOST_PARTS = 16
DEEPEST = 4  # brackets in brackets

_SHORTEST = 1e-9  # seconds; below it lies no clock's tick
_NORMAL = NormalDist()


def parse(text: str, folder: Path | None = None) -> Latency:
    """
    The distribution that the text describes; see the top of this module.

    Args:
        folder: where `file(...)` looks for a relative path. None: no file is read, as is right
            for a text that came over the network.

    Raises:
        LatencyError: with the place and the reason.
    """
    if len(text) > LONGEST_TEXT:
        raise LatencyError(
            text,
            LONGEST_TEXT,
            LONGEST_TEXT,
            f"{len(text):,} characters are too many for a latency; {LONGEST_TEXT:,} are the most",
        )
    latency = _Parser(text, folder).latency()
    if len(str(latency)) > LONGEST_TEXT:  # which could then not be read back
        raise LatencyError(text, 0, 0, f"written out, it has more than {LONGEST_TEXT:,} characters")
    return latency


_Value = tuple[float, Token]
_Reader = Callable[[str], _Value]


class _Parser(Tokens):
    """Recursive descent through one text."""

    _RANK = re.compile(r"p(\d+(?:\.\d+)?)")
    _NUMBER = re.compile(NUMBER)

    def __init__(self, text: str, folder: Path | None) -> None:
        super().__init__(text)
        self._folder = folder
        self._depth = 0

    def latency(self) -> Latency:
        if not self.peek().text:
            raise self.error(self.peek(), "the latency is empty; write one such as 50ms")
        result = self._sum()
        if self.peek().text:
            raise self.error(self.peek(), f"{self.peek().text!r} is one thing too many")
        return result

    def _sum(self) -> Latency:
        """Quantiles, one distribution, or several with their weights."""
        first = self.peek()
        if self._is_quantile(first):
            return self._percentiles()
        parts: list[tuple[float, Latency]] = []
        bare: Token | None = None
        while True:
            at = self.peek()
            weight = self._weight()
            if weight is None:
                bare = bare or at
            parts.append((1.0 if weight is None else weight, self._part()))
            if not self.operator("+"):
                break
            if len(parts) == MOST_PARTS:
                raise self.error(self.peek(), f"{MOST_PARTS} parts are the most there may be")
        if bare and len(parts) > 1:
            raise self.error(bare, f"{bare.text!r} needs a weight; write 0.9*{bare.text}")
        if not any(weight for weight, _ in parts):
            whole = self.since(first)
            raise self.error(whole, "every weight is 0; one must be above 0")
        return parts[0][1] if len(parts) == 1 else Mixture(tuple(parts))

    def _weight(self) -> float | None:
        """What stands before a `*`, which is left behind."""
        token = self.take()
        if not token.text or not self.operator("*"):
            self.back_to(token)
            return None
        if not self._NUMBER.fullmatch(token.text):
            raise self.error(token, f"{token.text!r} is no weight; write a number, such as 0.9")
        weight = float(token.text)
        if weight < 0:
            raise self.error(token, f"the weight {token.text} is negative")
        if weight and not 1e-6 <= weight <= 1e6:
            raise self.error(token, "a weight is 0, or between 0.000001 and 1000000")
        return weight

    def _part(self) -> Latency:
        functions: dict[str, Callable[[], Latency]] = {
            "uniform": self._uniform,
            "exponential": self._exponential,
            "gamma": self._gamma,
            "erlang": self._erlang,
            "lognormal": self._lognormal,
            "pareto": self._pareto,
            "file": self._file,
        }
        token = self.peek()
        if token.text == "(":
            return self._brackets()
        if token.text in functions:
            self.take()
            return functions[token.text]()
        if self._is_quantile(token):
            raise self.error(token, "quantiles need brackets here: 0.9*(p50=20ms p95=80ms)")
        if token.text[:1].isalpha():
            known = ", ".join(functions)
            raise self.error(
                token,
                f"there is no latency called {token.text!r}; there are: {known}, p50=... p95=...",
            )
        return Constant(self._duration("")[0])

    def _brackets(self) -> Latency:
        opening = self.take()
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.error(opening, f"more than {DEEPEST} brackets in brackets")
        result = self._sum()
        self.expect(")")
        self._depth -= 1
        return result

    def _uniform(self) -> Latency:
        given = self._arguments({"low": self._duration, "high": self._duration})
        (low, low_at), (high, high_at) = given["low"], given["high"]
        if high < low:
            raise self.error(
                high_at, f"{high_at.text} is below {low_at.text}; the lower comes first"
            )
        return Uniform(low, high)

    def _exponential(self) -> Latency:
        return Exponential(self._arguments({"mean": self._positive})["mean"][0])

    def _gamma(self) -> Latency:
        given = self._arguments({"mean": self._positive, "shape": self._number(0.1, 1000)})
        return Gamma(given["mean"][0], given["shape"][0])

    def _erlang(self) -> Latency:
        given = self._arguments({"mean": self._positive, "shape": self._number(1, 1000)})
        shape, at = given["shape"]
        if not shape.is_integer():
            raise self.error(at, f"erlang's shape counts steps; for {at.text} take gamma")
        return Gamma(given["mean"][0], shape)

    def _lognormal(self) -> Latency:
        names = dict.fromkeys(("p50", "p99", "mean"), self._positive)
        given = self._arguments(names, needs=({"p50", "p99"}, {"mean", "p50"}))
        p50 = given["p50"][0]
        for name, why in (("p99", ""), ("mean", "; a lognormal's mean lies above")):
            if name in given and given[name][0] < p50:
                at = given[name][1]
                raise self.error(at, f"{name}={at.text} is below p50={format_duration(p50)}{why}")
        if "mean" in given:
            return LognormalOfMean(given["mean"][0], p50)
        return Lognormal(p50, given["p99"][0])

    def _pareto(self) -> Latency:
        given = self._arguments(
            {"min": self._positive, "alpha": self._number(0.01, 100), "max": self._positive},
        )
        (least, _), (alpha, _), (most, at) = given["min"], given["alpha"], given["max"]
        if most <= least:
            raise self.error(at, f"max={at.text} is not above min={format_duration(least)}")
        return Pareto(least, alpha, most)

    def _file(self) -> Latency:
        self.expect("(")
        place = self.raw()
        options: dict[str, str] = {}
        while self.peek().text == ",":
            self.take()
            name = self.take()
            if name.text not in ("field", "unit"):
                raise self.error(name, f"file has no {name.text!r}; it takes field and unit")
            if name.text in options:
                raise self.error(name, f"{name.text} is given twice")
            self.expect("=")
            value = self.raw()
            if name.text == "unit" and value.text not in UNITS:
                raise self.error(
                    value, f"unknown unit {value.text!r}; there are: {', '.join(UNITS)}"
                )
            options[name.text] = self.unquoted(value)
        self.expect(")")
        if self._folder is None:
            raise self.error(place, "no file is read here; name it in a profile's file instead")
        try:
            return load(self._folder / self.unquoted(place), **options)
        except RecordedError as error:
            raise self.error(place, str(error)) from None

    def _percentiles(self) -> Latency:
        points: dict[float, _Value] = {}
        most: _Value | None = None
        first = self.peek()
        while self.peek().text not in ("", ")"):
            name = self.take()
            percent = None if name.text == "max" else self._percent(name)
            self.expect("=")
            if percent in points or (percent is None and most):
                raise self.error(name, f"{name.text} is given twice")
            value = self._positive(name.text)
            if percent is None:
                most = value
            else:
                points[percent] = value
        if len(points) < 2:
            whole = self.since(first)
            raise self.error(whole, "one quantile makes no spread; give two or more, or just 50ms")
        ranked = [(percent, *points[percent]) for percent in sorted(points)]
        for (low_rank, low, _), (high_rank, high, at) in pairwise(ranked):
            if high < low:
                low_text = f"{rank(low_rank)}={format_duration(low)}"
                raise self.error(at, f"{rank(high_rank)}={at.text} is below {low_text}")
            if not _NORMAL.inv_cdf(low_rank / 100) < _NORMAL.inv_cdf(high_rank / 100):
                raise self.error(at, f"{rank(high_rank)} and {rank(low_rank)} are too close")
        top_rank, top, _ = ranked[-1]
        if most and most[0] < top:
            top_text = f"{rank(top_rank)}={format_duration(top)}"
            raise self.error(most[1], f"max={most[1].text} is below {top_text}")
        return Percentiles(tuple((rank, x) for rank, x, _ in ranked), most[0] if most else None)

    def _percent(self, name: Token) -> float:
        match = self._RANK.fullmatch(name.text)
        if not match:
            raise self.error(name, f"{name.text!r} is no quantile; write p50=50ms p95=1s max=2s")
        percent = float(match.group(1))
        if not 0 < percent / 100 < 1:
            raise self.error(name, f"{name.text} is no quantile; they lie between p0 and p100")
        return percent

    def _is_quantile(self, token: Token) -> bool:
        """Whether `name =` comes next."""
        return token.text[:1].isalpha() and self.peek(token.end).text == "="

    def _arguments(
        self, readers: Mapping[str, _Reader], needs: tuple[set[str], ...] = ()
    ) -> dict[str, _Value]:
        """
        What stands in a function's brackets: by place or by name, as in Python.

        With `needs` (the sets of names that may stand together) by name only.
        """
        names = list(readers)
        ways = needs or (set(names),)
        listed = ", or ".join(" and ".join(sorted(way, key=names.index)) for way in ways)
        given: dict[str, _Value] = {}
        self.expect("(")
        while True:
            token = self.peek()
            if self._is_quantile(token):
                self.take()
                self.expect("=")
                name = token.text
                if name not in readers:
                    raise self.error(token, f"there is no {name!r} here; it takes {listed}")
                if name in given:
                    raise self.error(token, f"{name} is given twice")
            elif token.text == ")" and not needs:
                break
            elif needs:
                raise self.error(token, f"expected {listed}, each with its name and =")
            elif len(given) == len(names) or names[len(given)] in given:
                raise self.error(token, f"{token.text!r} is one thing too many")
            else:
                name = names[len(given)]
            given[name] = readers[name](name)
            if self.peek().text != ",":
                break
            self.take()
        missing = min((way - set(given) for way in ways), key=len)
        if missing:
            name = min(missing, key=names.index)
            raise self.error(self.peek(), f"{name} is missing; it takes {listed}")
        if set(given) not in ways:
            raise self.error(self.peek(), f"that is too much; it takes {listed}")
        self.expect(")")
        return given

    def _number(self, least: float, most: float) -> _Reader:
        def read(what: str) -> _Value:
            token = self.take()
            if not self._NUMBER.fullmatch(token.text):
                raise self.error(token, f"{what} must be a number, not {token.text!r}")
            number = float(token.text)
            if not least <= number <= most:
                raise self.error(token, f"{what} must lie between {least:g} and {most:g}")
            return number, token

        return read

    def _positive(self, what: str) -> _Value:
        seconds, at = self._duration(what)
        if seconds == 0:
            raise self.error(at, f"{what} must be above 0; 0ms alone means no delay")
        return seconds, at

    def _duration(self, what: str) -> _Value:
        token = self.take()
        if not token.text:
            raise self.error(token, "a duration such as 50ms is missing here")
        try:
            seconds = parse_duration(token.text)
        except ValueError as error:
            raise self.error(token, str(error)) from None
        if 0 < seconds < _SHORTEST:
            raise self.error(token, f"{token.text!r} is shorter than a nanosecond; 0ms is none")
        return seconds, token
