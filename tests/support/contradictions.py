"""What the texts of a run say, held against its numbers."""

import io
import math
import re
from collections.abc import Iterator

from rich.console import Console

from loadtests.analysis import numbers
from loadtests.analysis.summary import sentence
from loadtests.report.outputs import markdown, terminal
from loadtests.results import Estimate, Point, Run

_NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
_UNREADABLE = re.compile(r"\b(?:nan|inf|None)\b|\d[eE][-+]\d|\.\d{6,}|\.0{0,2}[1-9]\d{4,}")
_DASH = "–"  # noqa: RUF001
_INTERVAL = re.compile(
    rf"\(({_NUMBER})[^()]{{0,7}}? to ({_NUMBER})[^()]{{0,12}}\)|\(({_NUMBER}){_DASH}({_NUMBER})\)"
)
_NEGATIVE = re.compile(rf"(?<![\w.)\]{_DASH}/-])-\d[\d.,]*+(?! ?(?:%|to|points))")
_NO_CHANGE = re.compile(r"\b(?:by|of|margin is) 0 %|[±]0(?:\.0+)?(?!\.?\d)|[+]0 to [+]0 %")
_PLURAL = re.compile(
    r"(?<!of )(?<![\d.,-])1 (?:users|rounds|levels|calls|threads|connections|stages"
    r"|repeats|blocks|cores|failures|minutes|seconds)\b"
)
_NOT_THE_SERVICE = ("host", "generator", "mock")
_BLANKS = re.compile(r"  |\.\.(?!\.)| [.,;:](?!\d)|;;|,,")


def texts(run: Run) -> Iterator[str]:
    """Every sentence of the run."""
    for name in dict.fromkeys(point.deployment for point in run.points):
        yield sentence(run, name)
    yield from run.problems
    for point in run.points:
        yield from point.problems
        if point.limit is not None:
            yield point.limit.why
            limit = point.limit
            yield from filter(None, [limit.next, limit.advice, limit.experiment])
    for these in run.ceilings.values():
        yield from (one.how for one in these)
    yield from (slo.why for slo in run.slos)
    yield from (one.why for one in run.capacities.values())
    for one in run.verdicts:
        yield one.sentence
        yield from one.problems


def contradictions(run: Run) -> list[str]:
    """What is said and does not follow from the points, or cannot be read."""
    found = [wrong for text in texts(run) for wrong in _unreadable(text)]
    found += [wrong for text in _tables(run) for wrong in _unreadable(text, table=True)]
    found += _estimates(run)
    for name in dict.fromkeys(point.deployment for point in run.points):
        found += [f"{sentence(run, name)!r}: {wrong}" for wrong in _said(run, name)]
    found += _ceilings(run)
    return list(dict.fromkeys(found))


def _tables(run: Run) -> Iterator[str]:
    for width in (80, 160):
        out = io.StringIO()
        Console(file=out, width=width).print(terminal.render(run))
        yield from out.getvalue().splitlines()
    yield from markdown.render(run).splitlines()


def _unreadable(text: str, *, table: bool = False) -> Iterator[str]:
    for what, pattern in (
        ("is not a number that one can read", _UNREADABLE),
        ("is below zero", _NEGATIVE),
        ("is a change of nothing", _NO_CHANGE),
        ("is no English", _PLURAL),
        ("has blanks or marks", _BLANKS),
    ):
        if table and pattern in (_BLANKS, _NEGATIVE, _PLURAL):
            continue
        if wrong := pattern.search(text):
            yield f"{text!r}: {wrong.group()!r} {what}"
    for wrong in _INTERVAL.finditer(text):
        low, high = (float(each.replace(",", "")) for each in wrong.groups() if each)
        if not low < high:
            yield f"{text!r}: {wrong.group()!r} is not an interval"


def _estimates(run: Run) -> Iterator[str]:
    places: list[tuple[str, Estimate | None]] = []
    for point in run.points:
        where = f"{point.deployment} at {point.level}"
        places.append((f"throughput of {where}", point.throughput))
        for times in (point.response_time, point.response_time_with_failures):
            places += [(f"{name} of {where}", one) for name, one in times.items()]
    for name, knee in run.knees.items():
        if knee.level is not None:
            level = Estimate(value=knee.level, low=knee.low, high=knee.high)
            places.append((f"the knee of {name}", level))
        places.append((f"what {name} loses", knee.retrograde))
    places += [(f"SLO {slo.name}", slo.measured) for slo in run.slos]
    places += [(f"verdict of {one.b}", one.ratio) for one in run.verdicts]
    for what, one in places:
        if one is None:
            continue
        low = -math.inf if one.low is None else one.low
        high = math.inf if one.high is None else one.high
        if not low <= one.value <= high:
            yield f"{what}: {one} leaves its value out"
        if low == high:
            yield f"{what}: {one} has no width"
        if one.low is not None and one.low < 0:
            yield f"{what}: {one} reaches below zero"


def _lowest(value: Estimate) -> float:
    return value.value if value.low is None else value.low


def _highest(value: Estimate) -> float:
    return value.value if value.high is None else value.high


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _said(run: Run, name: str) -> Iterator[str]:
    text, points = sentence(run, name), run.of(name)
    valid = [point for point in points if point.counts]
    knee = run.knees.get(name)
    if wanted := re.search(rf"(?:flat|follows the load up) to ({_NUMBER})", text):
        yield from _follow(valid, _number(wanted[1]))
    if wanted := re.search(rf"follows the load up to ({_NUMBER})", text):
        yield from _equal(valid, _number(wanted[1]))
    yield from _noise(text, points, knee)
    if wanted := re.search(rf"flat to ({_NUMBER})", text):
        yield from _flat(valid, _number(wanted[1]))
    if re.search(r"follows the load up to [^;]*:", text) and any(
        p.limit and p.limit.resource not in _NOT_THE_SERVICE for p in valid[-1:]
    ):
        yield "the highest level has a limit"
    if wanted := re.search(rf"throughput stops at ({_NUMBER})/s", text):
        most = _number(wanted[1])
        for point in valid:
            if point.requests < 30 or re.search(r"/s at [^;]*, (?:drifting|not steady)\)", text):
                continue
            if (point.throughput.low or 0.0) > 1.05 * most:
                yield f"{point.level} has {point.throughput.value:.1f}/s, more"
        last = valid[-1].throughput
        if (
            valid[-1].requests >= 30
            and last.high is not None
            and last.high < 0.85 * most
            and "fail" not in text
        ):
            yield f"{valid[-1].level} has {last.value:.1f}/s, far less"
    if wanted := re.search(
        rf"throughput falls from ({_NUMBER})/s to ({_NUMBER})/s at ({_NUMBER})", text
    ):
        high, low, level = (_number(each) for each in wanted.groups())
        if not low < high:
            yield "it does not fall"
        yield from _same(valid, level, numbers.rate(low), "throughput")
    if wanted := re.search(r"p95 grows (\S+) (ms|s) per user", text):
        yield from _grows(valid, knee, _number(wanted[1]) / (1000 if wanted[2] == "ms" else 1))
    for share, level in re.findall(rf"({_NUMBER}) % of the requests fail at ({_NUMBER})", text):
        yield from _same(points, _number(level), f"{share} %", "failures")
    if "every request failed" in text and any(p.throughput.value for p in valid):
        yield "some succeeded"
    if wanted := re.search(rf"every request fails (?:at|from) ({_NUMBER})", text):
        for point in valid:
            if point.level >= _number(wanted[1]) and point.throughput.value:
                yield f"{point.level} answers {point.throughput.value:.1f}/s"
    if wanted := re.search(rf"flat to ({_NUMBER}).*?, at ({_NUMBER}).*throughput is down to", text):
        yield from _down(valid, *map(_number, wanted.groups()))
    if "serves one request at a time" in text and knee is not None and knee.base_response_time:
        most = knee.throughput or 0.0
        if most * knee.base_response_time > 2:
            base = knee.base_response_time
            yield f"{most:.1f}/s at {base:.4f} s are {most * base:.2f} at a time"
    worst = max(valid, key=lambda point: point.errors.rate, default=None)
    if worst is not None and worst.errors.rate > 0.05 and not re.search("fail|succeeded", text):
        yield f"{worst.errors.rate:.0%} fail at {worst.level}, and it is not said"


def _load(point: Point) -> float:
    """Users, or in the open model what came in a second."""
    return point.level if point.model == "closed" else point.requests / point.seconds


def _follow(valid: list[Point], level: float) -> Iterator[str]:
    """Throughput up to this level is what the lowest one predicts."""
    answered = [p for p in valid if p.throughput.value]
    if not answered:
        yield "nothing was answered"
        return
    first = answered[0]
    each = _lowest(first.throughput) / _load(first) if first.requests >= 30 else 0.0
    if first.level > level * 1.02:
        yield f"the lowest level is {first.level}"
    for point in valid:
        if point.level > level or point.requests < 30:
            continue
        promised = each * _load(point)
        if _highest(point.throughput) < 0.75 * promised:
            yield f"{point.level} has {point.throughput.value:.1f}/s of {promised:.1f}/s"


def _equal(valid: list[Point], level: float) -> Iterator[str]:
    """Throughput does not follow the load where it is the same at four times the load."""
    below = [point for point in valid if point.level <= level and point.requests >= 30]
    for point in below:
        for other in below:
            grown = other.throughput.value / max(point.throughput.value, 1e-9)
            if other.level >= 4 * point.level and grown < 1.5:
                yield f"{point.level} and {other.level} have the same throughput"


def _noise(text: str, points: list[Point], knee) -> Iterator[str]:
    """What disturbed the levels of a knee is said, and a level that does not count is in none."""
    moved = [p for p in points if p.counts and _part(p) > 0.05]
    if knee is not None and len(points) >= 3 and moved and "disturbed" not in text:
        yield f"{moved[0].level} can have had {_part(moved[0]):.0%} more, and it is not said"
    if knee is not None and knee.level is not None and not any(p.counts for p in points):
        yield "no level counts"


def _part(point: Point) -> float:
    return point.noise.get("throughput", 0.0) / max(point.throughput.value, 1e-9)


def _flat(valid: list[Point], level: float) -> Iterator[str]:
    known = [
        (point.level, time.value)
        for point in valid
        if point.level <= level and (time := point.response_time.get("p95"))
    ]
    if known and known[-1][1] > 2 * min(time for _, time in known[: (len(known) + 1) // 2]):
        yield f"p95 is {known[-1][1]:.4f} s at {known[-1][0]}, and was {known[0][1]:.4f} s"


def _down(valid: list[Point], before: float, level: float) -> Iterator[str]:
    """Throughput is lower than that of the level before, or of what the lowest one predicts."""
    first = valid[0]
    point = next((p for p in valid if p.level == level), first)
    other = next((p for p in valid if p.level == before), first)
    promised = first.throughput.value / _load(first) * _load(point)
    if _highest(point.throughput) >= max(promised, other.throughput.low or 0.0):
        yield f"{level:g} can have {_highest(point.throughput):.1f}/s, which is not less"


def _grows(valid: list[Point], knee, slope: float) -> Iterator[str]:
    """Complaints if p95 does not visibly rise from the knee to the highest level."""
    start = (knee.level or 0.0) if knee else 0.0
    beyond = [p for p in valid if p.level > start and p.response_time.get("p95")]
    if not beyond:
        yield "no p95 is known beyond the knee"
        return
    top = beyond[-1]
    grown = slope * (top.level - (start or beyond[0].level))
    if grown < 0.02 * top.response_time["p95"].value:
        yield f"that is {grown:.6f} s of {top.response_time['p95'].value:.4f} s at {top.level}"


def _same(points: list[Point], level: float, told: str, what: str) -> Iterator[str]:
    point = next((p for p in points if f"{p.level:,}" == f"{level:,g}" or p.level == level), None)
    if point is None:
        yield f"there is no level {level:g}"
        return
    value = (
        numbers.rate(point.throughput.value)
        if what == "throughput"
        else numbers.percent(point.errors.rate)
    )
    if told != value:
        yield f"{what} at {level:g} are {value}, not {told}"


def _ceilings(run: Run) -> Iterator[str]:
    for name in run.ceilings:
        valid = [point for point in run.of(name) if point.valid and point.requests >= 100]
        most = max((point.throughput.low or 0.0 for point in valid), default=0.0)
        for ceiling in run.ceilings[name]:
            if ceiling.throughput < 0.93 * most and not ceiling.loaded:
                told = f"{ceiling.resource} {ceiling.throughput:.1f}/s"
                yield f"{name}: ceiling {told} below {most:.1f}/s"
        reached = max((point.throughput.value for point in run.of(name)), default=0)
        bounds = [one.throughput for one in run.ceilings[name]]
        bounds += [one.loaded for one in run.ceilings[name] if one.loaded]
        bounds += [p.limit.ceiling for p in run.of(name) if p.limit and p.limit.ceiling]
        for bound in bounds:
            if bound < reached and numbers.rate(bound) != numbers.rate(reached):
                yield f"{name}: ceiling {bound:.1f}/s below {reached:.1f}/s"
        for point in run.of(name):
            told = point.limit and re.search(rf"= ({_NUMBER})/s is the ceiling", point.limit.why)
            if told and 2 * _highest(point.throughput) < _number(told[1]):
                yield f"{name}: {told[0]!r} at {point.level}, far from its throughput"
            if point.limit and "is the ceiling" in point.limit.why:
                above = reached > (point.limit.ceiling or reached)
                if above and numbers.rate(reached) != numbers.rate(point.limit.ceiling):
                    yield f"{name}: {point.limit.why!r}, and {numbers.rate(reached)} was measured"
        for point in run.of(name):
            advice = (point.limit and point.limit.advice) or ""
            for told in re.findall(rf"(?:ceiling to|at about) ({_NUMBER})/s", advice):
                if float(told.replace(",", "")) < 0.99 * reached:
                    yield f"{name}: {advice!r}, and {numbers.rate(reached)} was measured"
        for point in valid:
            if point.limit and point.limit.ceiling and point.limit.ceiling < 0.93 * most:
                told = f"{point.limit.why} {point.limit.ceiling:.1f}/s"
                yield f"{name}: limit {told} below {most:.1f}/s"
