"""A comparison in a sentence or two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.analysis.numbers import duration, load, percent, rate, rounded
from loadtests.analysis.verdicts.answers import other_work
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.effects import Effect
from loadtests.results import QUANTILES, Estimate, Kind

_NAMES = {"cpu": "CPU per request", "memory": "memory"}


def named(metric: str) -> str:
    """E.g. "p95", "CPU per request"."""
    return _NAMES.get(metric, metric)


def amount(metric: str, value: float) -> str:
    """The value in the metric's unit, e.g. "82.1 ms", "771/s", "61 MB"."""
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


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What a comparison comes to.

    `seconds_needed` would probably decide it. `invalid`: why there can be no verdict. `failures`,
    `growing`: what decides, or is to be known before the metric; sentences. `answers`: in what the
    successes differ, where a faster side is no better for it.
    """

    kind: Kind
    seconds_needed: float | None = None
    invalid: str = ""
    failures: str = ""
    growing: str = ""
    answers: Sequence[str] = ()


def sentence(
    found: Decision,
    terms: ComparisonConfig,
    effect: Effect,
    ratio: Estimate | None,
    detectable: float | None,
) -> str:
    """
    The verdict with its numbers: failures first, then the metric that decides.

    Args:
        effect, ratio: of that metric.
        detectable: the change that would have been seen, as a share.
    """
    head = f"{terms.b} against {terms.a}: {found.kind}."
    if found.invalid:
        return " ".join(filter(None, (head, found.failures, f"{_capital(found.invalid)}.")))
    parts = [head, *filter(None, (found.failures, found.growing))]
    if not found.growing:
        parts.append(_metric(terms, effect, ratio, bool(found.failures)))
    if found.answers:
        parts.append(other_work(found.answers))
        return " ".join(filter(None, parts))
    if found.kind == "EQUIVALENT":
        parts.append(f"The margin is {percent(terms.margin)}.")
    if found.kind == "UNRESOLVED" and effect.endless:
        parts.append(
            "A lower quantile shows more (--metric p50)." if terms.metric in QUANTILES else ""
        )
    elif found.kind == "UNRESOLVED" and found.failures:
        parts.append("More time would show it (--within).")
    elif found.kind == "UNRESOLVED" and effect.values:
        parts.append(
            f"About {minutes(found.seconds_needed)} more would decide it."
            if found.seconds_needed is not None
            else "An hour more would not decide it."
        )
    parts.append(would_have_been_seen(found.kind, ratio, detectable))
    return " ".join(filter(None, parts))


def would_have_been_seen(kind: Kind, ratio: Estimate | None, detectable: float | None) -> str:
    """
    The change that would have been seen; empty where a smaller one was seen, by luck.

    Args:
        detectable: that change, as a share; None: not known.
    """
    if detectable is None:
        return ""
    found = ratio if kind in ("WORSE", "BETTER") else None
    if found and not _holds_one(found) and abs(math.log(found.value)) < math.log1p(detectable):
        return ""
    return f"A change of {percent(detectable)} would have been seen."


def _holds_one(ratio: Estimate) -> bool:
    return ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high


def failures(terms: ComparisonConfig, a: float, b: float, mostly: str) -> str:
    """How many of the requests fail on each side."""
    at = load(terms.at[0], terms.model)
    rise = f"{percent(abs(b - a))} {'more' if b >= a else 'fewer'} of the requests fail"
    return (
        f"{rise}: {percent(b)} of those to {terms.b} at {at}{mostly}, {percent(a)} of those to "
        f"{terms.a}."
    )


def growing(terms: ComparisonConfig, names: Sequence[str], answered: tuple[float, float]) -> str:
    """More comes than is answered on one side, or on both."""
    level = rate(terms.at[0])
    sides = [
        f"{terms_name} answered {rate(each)}"
        for terms_name, each in zip(terms.names, answered, strict=True)
        if terms_name in names
    ]
    why = (
        f"at {level} requests pile up in every block: {' and '.join(sides)}. {terms.metric} would "
        f"only tell how long a block is"
    )
    if len(names) == 2:
        return f"{why}: compare at a lower rate (--at), or the throughput (--metric throughput)"
    return f"{_capital(why)}."


def endless(terms: ComparisonConfig, a: float, b: float) -> str:
    """More fails on both sides than the quantile leaves out."""
    return (
        f"{percent(a)} of the requests to {terms.a} fail, and {percent(b)} of those to {terms.b}: "
        f"more than the {percent(round(1 - QUANTILES[terms.metric], 9))} that are slower than "
        f"{terms.metric}, which has no value then; compare a lower quantile (--metric p50)"
    )


def other_rates(terms: ComparisonConfig, answered: Effect) -> str:
    """CPU of a request is compared at two rates, of which the lower one makes it dearer."""
    return (
        f"{terms.b} answered {rate(answered.b)} and {terms.a} {rate(answered.a)}: where fewer "
        f"requests come, a process wakes up for more of them one by one, and each may take more "
        f'CPU; model = "open" in [load] compares both at one rate'
    )


def unmeasured(terms: ComparisonConfig) -> str:
    """No block says what the metric is."""
    return f"{named(terms.metric)} was not measured in most rounds"


def _metric(
    terms: ComparisonConfig, found: Effect, ratio: Estimate | None, failures_told: bool
) -> str:
    where = f"{named(terms.metric)} at {load(terms.at[0], terms.model)}"
    if not found.values:
        if failures_told:
            return ""
        return f"{where} was not measured in a whole round: give it more time (--within)."
    count = len(found.values)
    rounds = f"over {count} {'round' if count == 1 else 'rounds'}"
    if ratio is None:
        return (
            f"{where} is {'infinite' if terms.metric in QUANTILES else 0} in {found.endless_b} of "
            f"{found.blocks} blocks of {terms.b} and {found.endless_a} of {found.blocks} of "
            f"{terms.a}, {rounds}."
        )
    a, b = amount(terms.metric, found.a), amount(terms.metric, found.b)
    return f"{where} is {change(ratio.value)} ({within(ratio)}): {b} against {a}, {rounds}."


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
