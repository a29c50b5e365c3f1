"""What the experiments of a run say of the limits that it names: confirmed, refuted, or renamed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from loadtests.analysis.advice import SETTINGS, Remedy, advice, under_load
from loadtests.analysis.causes.case import FULL, ROOM
from loadtests.analysis.causes.demand import LATE, STARVED, usable_cores
from loadtests.analysis.causes.headline import limited
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.causes.outside import loop_is_free
from loadtests.analysis.causes.upstream import REFUSING
from loadtests.analysis.checks.mock import CHANGED
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample
from loadtests.analysis.numbers import duration, percent, rounded
from loadtests.analysis.stats import elasticity
from loadtests.analysis.stats.elasticity import Verdict
from loadtests.analysis.verdicts.blocks import Block, block
from loadtests.results import Ceiling, Estimate, Experiment, Knee, Limit, Point, Resource

Observe = Callable[[str, Sequence[StageRecord]], Observation | None]
"""Observes a deployment in windows of one level."""

PART = 0.2  # of what a request holds: an upstream that is less of it cannot tell threads from CPU
NEAR = 0.1  # of the elasticity that a known part of the upstream gives
ALONE = 1.2  # calls at a time for each worker: a loop that makes one call at a time
SAME = 0.02  # of throughput: less is called the same
UNCLEAR = 0.2  # of throughput: where an interval is wider, it does not show that nothing changed
FOLLOWS, STAYS = 0.6, 0.3  # of the gain that a raised limit is predicted to give
CLEAR = 3  # pairs without a disturbance: with as many, the others are left out
GAIN = 1.05  # times the throughput: less cannot be told
_SIZED = ("threads", "pool", "concurrency-limit")


@dataclass(frozen=True, slots=True)
class Service:
    """A deployment in its run: what it is held against."""

    name: str
    points: Sequence[Point]
    knee: Knee | None
    ceilings: Sequence[Ceiling]
    table: Mapping[str, Any]

    @property
    def limit(self) -> Limit | None:
        """What is named, beyond the knee or at the highest level."""
        found = limited(self.knee, self.points)
        return found[0].limit if found else None

    def ceiling(self, resource: Resource) -> Ceiling | None:
        return next((one for one in self.ceilings if one.resource == resource), None)


def of_service(
    service: Service,
    probes: Sequence[StageRecord],
    samples: Sequence[Sample],
    observe: Observe,
) -> tuple[list[Experiment], list[Point]]:
    """
    The experiments with one deployment, and its points with what they say of their limits.

    Args:
        probes: the windows with this deployment, in the order of play.
    """
    played = [one for one in probes if one.complete and one.stage.probe]
    turns = [one for one in played if one.stage.probe and not one.stage.probe.raised]
    larger = [one for one in played if one.stage.probe and one.stage.probe.raised]
    blocks = {one.stage.number: block(one, samples) for one in played}
    first = _upstream(service, turns, blocks, observe)
    if first is None:
        return [], list(service.points)
    experiment, limit = first
    found = [experiment]
    if larger and (second := _setting(service, turns, larger, blocks, limit)):
        found.append(second)
    return found, _marked(service, limit, found)


def _upstream(
    service: Service,
    turns: Sequence[StageRecord],
    blocks: Mapping[int, Block],
    observe: Observe,
) -> tuple[Experiment, Limit | None] | None:
    """The experiment with a faster upstream, and what is named after it."""
    pairs, scale = _pairs(turns, blocks)
    changed = elasticity.ratio(pairs)
    plain = [one for one in turns if _scale(one) == 1.0]
    now = observe(service.name, plain) if plain else None
    if changed is None or now is None:
        return None
    found = elasticity.elasticity(changed, scale)
    limit = service.limit
    verdict: Verdict = "cannot tell"
    if limit is not None:
        verdict = _verdict(service, limit, found, now, scale)
    named = _renamed(service, limit, verdict, found, changed, scale, now)
    faster = f"with an upstream {percent(1 - scale)} faster {_rose(changed)}"
    why = faster
    if verdict == "refuted":
        waits = "waits" if elasticity.zone(found) == "held" else "does not wait"
        why = f"{faster}: so what binds {waits} for the upstream"
    elif limit is not None and named is not None and named.resource == "loop":
        why = f"{faster}: {_of_loop(found, changed, scale)}"
    experiment = Experiment(
        deployment=service.name,
        level=turns[0].stage.level,
        kind="upstream",
        change=f"the upstream's delays times {scale:g}",
        scale=scale,
        pairs=len(pairs),
        ratio=changed,
        elasticity=found,
        tested=limit.resource if limit else None,
        resource=named.resource if named else None,
        verdict=verdict,
        why=why,
    )
    return experiment, named


def _pairs(
    turns: Sequence[StageRecord], blocks: Mapping[int, Block]
) -> tuple[list[tuple[float, float]], float]:
    """Throughput without and with a faster upstream, of each pair of windows; and its scale."""
    scale = min((_scale(one) for one in turns), default=1.0)
    pairs: dict[int, dict[bool, float]] = {}
    spoilt: set[int] = set()
    for one in turns:
        seen = blocks[one.stage.number]
        if one.stage.probe and _usable(seen):
            faster = _scale(one) != 1.0
            pairs.setdefault(one.stage.probe.pair, {})[faster] = seen.values["throughput"]
            spoilt |= {one.stage.probe.pair} if seen.spoilt else set()
    whole = {n: (each[False], each[True]) for n, each in pairs.items() if len(each) == 2}
    sound = [each for n, each in whole.items() if n not in spoilt]
    if len(sound) < CLEAR:  # turns spread what disturbed them over both, and the interval says it
        sound = list(whole.values())
    return (_clear(pairs, turns, blocks) or sound), scale


def _clear(
    pairs: Mapping[int, Mapping[bool, float]],
    turns: Sequence[StageRecord],
    blocks: Mapping[int, Block],
) -> list[tuple[float, float]]:
    """The pairs of which no window was disturbed, which throughput does not decide."""
    spoilt = {
        one.stage.probe.pair
        for one in turns
        if one.stage.probe and blocks[one.stage.number].disturbed
    }
    clear = [(e[False], e[True]) for n, e in pairs.items() if len(e) == 2 and n not in spoilt]
    return clear if len(clear) >= CLEAR else []


def _scale(one: StageRecord) -> float:
    return one.stage.probe.scale if one.stage.probe else 1.0


def _usable(seen: Block) -> bool:
    wrong = [text for text in seen.wrong if text != CHANGED]  # that is what was done before it
    return not wrong and seen.values.get("throughput", 0.0) > 0


def _verdict(
    service: Service, limit: Limit, found: Estimate, now: Observation, scale: float
) -> Verdict:
    verdict = elasticity.verdict(_cause(limit, now), found)
    watched = limit.resource == "threads" and limit.source == "outside"
    seen = now.point.outside if watched else None
    ceiling = service.ceiling(limit.resource)
    capacity = seen.most if seen else ceiling.capacity if ceiling else None
    if verdict == "confirmed" or limit.resource not in _SIZED or not capacity or not now.upstream:
        return verdict
    # What a thread holds may well be more than its calls: how much they are is known.
    part = min(now.upstream.in_flight / capacity, 1.0)
    meant = elasticity.expected(part, scale)
    assert found.low is not None
    assert found.high is not None
    if (limit.source == "telemetry" or seen) and found.low - NEAR <= meant <= found.high + NEAR:
        sure = elasticity.precise(found) and found.high < 0 and part >= PART
        return "confirmed" if sure else "cannot tell"
    return verdict


def _cause(limit: Limit, now: Observation) -> str:
    """The row of the table."""
    up = now.upstream
    if limit.resource == "upstream" and up is not None:
        if up.servers and up.busy is not None and up.busy >= FULL:
            return "upstream servers"
        return "upstream rate" if up.refused >= REFUSING else "upstream"
    return limit.resource


def _renamed(
    service: Service,
    limit: Limit | None,
    verdict: Verdict,
    found: Estimate,
    changed: Estimate,
    scale: float,
    now: Observation,
) -> Limit | None:
    """The limit, or another one where it was refuted, or where only a number was known."""
    if limit is None:
        return None
    vague = limit.source == "outside" and limit.resource in ("unknown", "concurrency-limit")
    if verdict != "refuted" and not vague and limit.resource != "unknown":
        return limit
    which = elasticity.zone(found)
    if which == "held":
        part = elasticity.upstream_part(changed.value, scale)
        made = _held(now, part)
    elif which == "free":
        made = _free(now)
    else:
        return limit
    if made is None or (made[0] == limit.resource and limit.resource != "unknown"):
        return limit
    resource, why = made
    reached = max((point.throughput.value for point in service.points), default=0.0)
    remedy = Remedy(resource, None, reached, (), now.workers, service.table)
    return Limit(
        resource=resource,
        why=why,
        advice=advice(remedy),
        evidence=limit.evidence,
        source=limit.source,
    )


def _held(now: Observation, part: float) -> tuple[Resource, str] | None:
    """What is held while the upstream is waited for."""
    if now.upstream is None or not part:
        return None
    count = now.upstream.in_flight / part
    if count <= ALONE * now.workers and not loop_is_free(now.point.outside):
        return "loop", (
            "blocked event loop: one call of the upstream at a time, and every request waits for it"
        )
    return (
        "concurrency-limit",
        f"{rounded(count, 2)} requests at a time, held while they call the upstream",
    )


def _free(now: Observation) -> tuple[Resource, str] | None:
    """What is held, but not for the upstream."""
    cores = usable_cores(now)
    share = max((now.cpu or 0.0) / cores, now.busiest or 0.0)
    used = f"{rounded(min(share, 1.0) * cores, 2)} of {rounded(cores, 3)} cores used"
    if share >= ROOM:
        return "cpu", f"CPU: {used}, and nothing that waits for the upstream binds"
    if now.starved >= STARVED:
        return "cpu", (
            f"CPU, taken by others: for {percent(min(now.starved, 1.0))} of the time the service "
            f"had work and no core; {used}"
        )
    if now.cpu is None or not now.throughput:
        return None
    each = duration(now.workers / now.throughput)
    in_time = now.gauges and now.gauges.lag is not None and now.gauges.lag < LATE
    if in_time or loop_is_free(now.point.outside):
        return "concurrency-limit", (
            f"something that does not call the upstream holds requests, for {each} each if one at "
            "a time: a lock, another service, or work after the answer"
        )
    return "loop", (
        f"something holds requests one at a time that does not call the upstream, for {each} "
        f"each: a blocking call, or a lock; {used}"
    )


def _of_loop(found: Estimate, changed: Estimate, scale: float) -> str:
    which = elasticity.zone(found)
    if which == "held":
        return "its own calls of the upstream block it"
    if which == "free":
        return "what blocks it does not call the upstream"
    part = elasticity.upstream_part(changed.value, scale)
    return f"the upstream is about {percent(round(part, 2))} of what blocks it"


def _setting(
    service: Service,
    turns: Sequence[StageRecord],
    larger: Sequence[StageRecord],
    blocks: Mapping[int, Block],
    limit: Limit | None,
) -> Experiment | None:
    """The experiment with a raised limit."""
    probe = larger[0].stage.probe
    raised = probe.raised if probe else None
    before = _throughputs([one for one in turns if _scale(one) == 1.0], blocks)
    after = _throughputs(larger, blocks)
    changed = _ratio(before, after)
    if raised is None or changed is None or limit is None:
        return None
    usual = fmean(before)
    level = larger[0].stage.level
    bounds = [raised.now / raised.before]
    bounds += [
        max(under_load(one) / usual, 1.0)
        for one in service.ceilings
        if one.resource != limit.resource and SETTINGS.get(one.resource) != raised.name
    ]
    if service.knee and service.knee.cycle and larger[0].stage.model == "closed":
        bounds.append(max(level / service.knee.cycle / usual, 1.0))
    predicted = min(bounds)
    change = f"{raised.name} = {raised.now} instead of {raised.before}"
    why = f"with {change} {_rose(changed)}, {_percent(predicted)} was predicted"
    return Experiment(
        deployment=service.name,
        level=level,
        kind="setting",
        change=change,
        pairs=min(len(before), len(after)),
        ratio=changed,
        predicted=predicted,
        tested=limit.resource,
        resource=limit.resource,
        verdict=_followed(changed, predicted),
        why=why,
    )


def _throughputs(records: Sequence[StageRecord], blocks: Mapping[int, Block]) -> list[float]:
    seen = [one for record in records if _usable(one := blocks[record.stage.number])]
    clear = [one for one in seen if not one.disturbed]
    these = clear if len(clear) >= elasticity.LEAST_PAIRS else seen
    return [one.values["throughput"] for one in these]


def _ratio(before: Sequence[float], after: Sequence[float]) -> Estimate | None:
    """The ratio of unpaired windows; Student's interval of the difference of the logarithms."""
    one, other = [[math.log(value) for value in values] for values in (before, after)]
    if len(one) < elasticity.LEAST_PAIRS or len(other) < elasticity.LEAST_PAIRS:
        return None
    parts = [max(variance(logs), 1e-12) / len(logs) for logs in (one, other)]
    mean, total = fmean(other) - fmean(one), sum(parts)
    # Welch, The generalization of Student's problem, Biometrika 1947.
    freedom = total**2 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    half = math.hypot(elasticity.quantile(freedom) * math.sqrt(total), elasticity.RESOLUTION)
    return Estimate(value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half))


def _followed(changed: Estimate, predicted: float) -> Verdict:
    assert changed.low is not None
    assert changed.high is not None
    if predicted < GAIN:
        return "cannot tell"
    if changed.value >= 1 + FOLLOWS * (predicted - 1) and changed.low > 1:
        return "confirmed"
    return "refuted" if changed.high < 1 + STAYS * (predicted - 1) else "cannot tell"


def _marked(service: Service, limit: Limit | None, found: Sequence[Experiment]) -> list[Point]:
    """The points; those that show the limit that was tested have what was found instead."""
    tested = found[0].tested
    if tested is None or limit is None:
        return list(service.points)
    told = _summary(found)
    replaced = limit.resource != tested or tested == "unknown"
    marked = []
    for point in service.points:
        shown = point.limit
        if shown is not None and shown.resource in {tested, "unknown"}:
            base = limit if replaced or shown.resource == "unknown" else shown
            point = point.model_copy(update={"limit": base.model_copy(update={"experiment": told})})
        marked.append(point)
    return marked


def _summary(found: Sequence[Experiment]) -> str:
    """What the experiments say of the limit that is named now."""
    first, *rest = found
    whys = "; ".join([first.why, *(one.why for one in rest)])
    if first.verdict == "refuted":
        return f"an experiment refuted {_NAMES.get(first.tested or '', first.tested)}: {whys}"
    if first.resource != first.tested:
        return f"named by experiment: {whys}"
    verdicts = {one.verdict for one in found}
    if "refuted" in verdicts:
        return f"doubtful by experiment: {whys}"
    if "confirmed" in verdicts:
        return f"confirmed by experiment: {whys}"
    return f"an experiment could not tell: {whys}"


_NAMES: Mapping[str, str] = {
    "threads": "that it is the threads",
    "pool": "that it is the connection pool",
    "concurrency-limit": "a number at a time that waits for the upstream",
    "cpu": "that it is CPU",
    "churn": "that it is connection churn",
    "upstream": "that it is the upstream",
}


def _rose(changed: Estimate) -> str:
    """E.g. "throughput rose 24 % (22 % to 26 %)"."""
    assert changed.low is not None
    assert changed.high is not None
    ends = f"({_percent(changed.low)} to {_percent(changed.high)})"
    if changed.low <= 1 <= changed.high and changed.high - changed.low > UNCLEAR:
        return f"throughput changed by {_percent(changed.low)} to {_percent(changed.high)}"
    if abs(changed.value - 1) < SAME or changed.low <= 1 <= changed.high:
        return f"throughput stayed about the same {ends}"
    word = "rose" if changed.value > 1 else "fell"
    if changed.value < 1:
        ends = f"({percent(1 - changed.high)} to {percent(1 - changed.low)})"
    return f"throughput {word} {percent(abs(changed.value - 1))} {ends}"


def _percent(changed: float) -> str:
    """A ratio as a percentage, with its sign where that is negative, e.g. "24 %", "-1.2 %"."""
    more = changed - 1
    return percent(more) if more >= 0 else f"-{percent(-more)}"
