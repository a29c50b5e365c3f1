"""A comparison in a sentence or two."""

from collections.abc import Sequence
from typing import Protocol

from loadtests.analysis.words import duration, load, percent, rate, rounded
from loadtests.results import Change, Estimate

_NAMES = {"cpu": "CPU per request", "memory": "memory"}


class Terms(Protocol):
    """What is compared; see duels.Terms."""

    @property
    def a(self) -> str: ...
    @property
    def b(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def at(self) -> tuple[int, ...]: ...
    @property
    def margin(self) -> float: ...
    @property
    def model(self) -> str: ...


def named(metric: str) -> str:
    """E.g. "p95", "CPU per request"."""
    return _NAMES.get(metric, metric)


def amount(metric: str, value: float) -> str:
    """In the metric's unit, e.g. "82.1 ms", "771/s", "61 MB"."""
    if metric == "throughput":
        return rate(value)
    if metric == "memory":
        return f"{rounded(value / 1e6, 3)} MB"
    return duration(value)


def change(ratio: float) -> str:
    """A ratio as what it is more or less than one, e.g. "+10.3 %", "-4 %"."""
    share = ratio - 1
    digits = 3 if abs(share) >= 0.1 else 2
    text = rounded(abs(share) * 100, digits) if abs(share) >= 5e-5 else "0"
    return f"{'-' if share < 0 else '+'}{text} %"


def within(ratio: Estimate) -> str:
    """Its interval, e.g. "+8.9 to +11.8 %"."""
    if ratio.low is None or ratio.high is None:
        return "no interval yet"
    return f"{change(ratio.low).removesuffix(' %')} to {change(ratio.high)}"


def minutes(seconds: float) -> str:
    """E.g. "40 s", "3 minutes"."""
    if seconds < 90:
        return f"{rounded(seconds, 2)} s"
    return f"{round(seconds / 60)} minutes"


def sentence(
    kind: str,
    terms: Terms,
    ratio: Estimate | None,
    typical: tuple[float, float] | None,
    rounds: int,
    smallest: float | None,
    more: float | None,
    invalid: str | None,
    changes: Sequence[Change],
) -> str:
    """
    The verdict with its numbers.

    Args:
        ratio: B over A.
        typical: the metric of A and of B.
        smallest: the change that could have been seen, as a share.
        more: seconds that would decide it.
        invalid: why there can be no verdict.
    """
    head = f"{terms.b} against {terms.a}: {kind}."
    if invalid:
        return f"{head} {invalid[:1].upper()}{invalid[1:]}."
    where = f"{named(terms.metric)} at {load(terms.at[0], terms.model)}"
    if ratio is None or typical is None:
        return f"{head} {where} was not measured in a whole round: give it more time (--within)."
    a, b = (amount(terms.metric, value) for value in typical)
    parts = [
        head,
        f"{where} is {change(ratio.value)} ({within(ratio)}): {b} against {a}, "
        f"over {rounds} rounds.",
    ]
    errors = next(
        (one for one in changes if one.metric == "errors" and one.level == terms.at[0]), None
    )
    if kind == "WORSE" and errors and errors.changed and errors.change:
        parts.append(f"{percent(errors.change.value)} more of the requests fail.")
    if kind == "EQUIVALENT":
        parts.append(f"The margin is {percent(terms.margin)}.")
    if kind == "UNRESOLVED":
        parts.append(
            f"About {minutes(more)} more would decide it."
            if more is not None
            else "An hour more would not decide it."
        )
    if smallest is not None:
        parts.append(f"A change of {percent(smallest)} would have been seen.")
    return " ".join(parts)
