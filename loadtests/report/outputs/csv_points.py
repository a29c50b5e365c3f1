"""
`points.csv`: a row for each point of the run, in the order of `run.json`, for spreadsheets.

RFC 4180, UTF-8 without a mark, a header first. Numbers in full: what is read is what `run.json`
holds. A cell is empty where nothing was measured. Lists are one text, joined by "; ".

The columns, in this order; `_s` seconds, `_per_s` requests per second, and each value with a 95 %
interval is followed by its `_low` and `_high` (`throughput_low_per_s`):

    deployment, request, model, level   users in the closed model, requests per second in the open
    requests, seconds                   sent, and measured
    throughput_per_s *
    response_time_p50_s *, _p95_s *, _p99_s *, _mean_s *
    service_time_p95_s *                in the closed model that of the response
    error_rate, error_kinds             failures over requests; "503: 41; timeout: 9"
    in_flight                           requests, their mean
    noise_throughput_per_s              the part of its interval that disturbances can have made
    noise_..._s                         the same of p50, p95, p99 and mean
    left_out_s                          of the window, for too large disturbances
    steady, valid, problems             valid is true or false
    limit                               the resource that holds throughput back
    request_cpu_s, canary_s             CPU that a request took, and a fixed loop; of request "all"
    request_canaries                    the first over the second
    resource_..._cores, _bytes          what this run has of them, by name; of request "all"
    phase_mean_..._s, phase_p95_..._s   what this run has of them, as time goes by

    * with its low and high

A text that a spreadsheet would take for a formula has an apostrophe before it: names come from
users and from services.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

from loadtests.analysis.phases import REST
from loadtests.characters import for_csv
from loadtests.recording import phases
from loadtests.results import Estimate, Point, Run

Cell = str | float | None
Read = Callable[[Point], Cell]

_UNITS = {"cpu": "_cores", "rss": "_bytes"}  # of resources, by the last word of their names
_PHASES = (*phases.NAMES, REST)


def render(run: Run) -> str:
    columns = dict(_columns(run.points))
    content = StringIO(newline="")
    writer = csv.writer(content)
    writer.writerow(map(for_csv, columns))
    writer.writerows([read(point) for read in columns.values()] for point in run.points)
    return content.getvalue()


FILES = {"points.csv": render}


def _columns(points: Sequence[Point]) -> Iterator[tuple[str, Read]]:
    yield "deployment", lambda p: for_csv(p.deployment)
    yield "request", lambda p: for_csv(p.request)
    yield "model", lambda p: p.model
    yield "level", lambda p: p.level
    yield "requests", lambda p: p.requests
    yield "seconds", lambda p: p.seconds
    # A stage that was lost has a throughput and a rate of errors of zero, which nobody measured.
    yield from _estimate("throughput", "_per_s", lambda p: p.throughput if p.seconds else None)
    for name in ("p50", "p95", "p99", "mean"):
        yield from _estimate(f"response_time_{name}", "_s", _named("response_time", name))
    yield from _estimate("service_time_p95", "_s", lambda p: p.service_time.get("p95"))
    yield "error_rate", lambda p: p.errors.rate if p.requests else None
    yield "error_kinds", lambda p: _texts(f"{kind}: {n}" for kind, n in p.errors.kinds.items())
    yield "in_flight", lambda p: p.in_flight
    yield "noise_throughput_per_s", _named("noise", "throughput")
    for name in ("p50", "p95", "p99", "mean"):
        yield f"noise_{name}_s", _named("noise", name)
    yield "left_out_s", lambda p: p.left_out or None
    yield "steady", lambda p: p.steady
    yield "valid", lambda p: "true" if p.valid else "false"
    yield "problems", lambda p: _texts(p.problems)
    yield "limit", lambda p: p.limit.resource if p.limit else None
    yield "request_cpu_s", lambda p: p.request_cpu
    yield "canary_s", lambda p: p.canary
    yield "request_canaries", lambda p: p.request_canaries
    for name in sorted({name for point in points for name in point.resources}):
        unit = _UNITS.get(name.rpartition("_")[2], "")
        yield f"resource_{name}{unit}", _named("resources", name)
    if any(point.traced for point in points):
        yield "traced", lambda p: p.traced.requests if p.traced else None
        yield "traced_mean_s", lambda p: p.traced.time if p.traced else None
        yield "untraced_mean_s", lambda p: p.traced.others if p.traced else None
        yield from _estimate(
            "traced_longer", "", lambda p: p.traced.difference if p.traced else None
        )
    for of in ("mean", "p95"):
        seen = {name for point in points for name in point.phases.get(of, {})}
        for name in (*filter(seen.__contains__, _PHASES), *sorted(seen.difference(_PHASES))):
            yield f"phase_{of}_{name}_s", _phase(of, name)


def _estimate(
    name: str, unit: str, of: Callable[[Point], Estimate | None]
) -> Iterator[tuple[str, Read]]:
    def end(which: str) -> Read:
        return lambda p: getattr(of(p), which, None)

    yield f"{name}{unit}", end("value")
    yield f"{name}_low{unit}", end("low")
    yield f"{name}_high{unit}", end("high")


def _named(field: str, name: str) -> Callable[[Point], Any]:
    """Read one entry of a field that has them by name."""
    return lambda p: getattr(p, field).get(name)


def _phase(of: str, name: str) -> Read:
    return lambda p: p.phases.get(of, {}).get(name)


def _texts(parts: Iterable[str]) -> str:
    return for_csv("; ".join(parts))
