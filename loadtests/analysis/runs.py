"""A run's files -> Run."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests.analysis import (
    causes,
    certificates,
    collapse,
    goals,
    held_back,
    mixes,
    outside,
    repeats,
    scenario,
    silent_upstream,
    upstream_changes,
)
from loadtests.analysis.capacity import of_run as searches
from loadtests.analysis.causes import ceilings, gauged
from loadtests.analysis.causes.experiments import Service, of_service
from loadtests.analysis.causes.observations import Observation, observations
from loadtests.analysis.checks import canaries, sampling, siblings
from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.ledgers import with_ledgers
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.inputs.sample_parts import json_table
from loadtests.analysis.knees import knees
from loadtests.analysis.points import ALL, points
from loadtests.analysis.slos.metrics import Evidence
from loadtests.analysis.slos.slo_result import slo_result
from loadtests.analysis.stats import relaxation
from loadtests.analysis.verdicts import of_run
from loadtests.plans import slos
from loadtests.plans.hosts import how_to_allow
from loadtests.results import Ceiling, Experiment, Knee, Point, Run, SloResult

Measure = Callable[[Sequence[StageRecord], Sequence[Mapping[str, Any]]], list[Point]]


def analyse(folder: Path) -> Run:
    """
    The Run that the files in a run's folder record, complete or cut off.

    Raises:
        UnreadableRun: there is no `slices.jsonl`, or it is something else.
    """
    return run_of(records.read(folder))


def run_of(record: Record, measure: Measure = points) -> Run:
    """
    The Run of a record.

    Args:
        measure: finds the points of its stages, with its samples.
    """
    header = record.header
    every = with_ledgers(sampling.expected(record))
    samples = _before_probes(record, every)
    measured = measure(record.stages, samples)
    notes: Mapping[tuple[str, int], str] = {}
    if header.comparison is None and header.capacity_search is None:
        kept = repeats.counted(record.stages, samples, measured)
        if kept is not None:
            record, notes = replace(record, stages=list(kept.stages)), kept.notes
            measured = measure(record.stages, samples)
    measured = held_back.marked(mixes.marked(upstream_changes.marked(measured, record)))
    found, bounds = _explained(record, measured, samples)
    mixed = upstream_changes.mixed(found, record)
    bounds = {name: these for name, these in bounds.items() if name not in mixed}
    # A comparison has one level or a few, of which none tells where throughput stops.
    bends = knees(found) if header.comparison is None else {}
    bends = {name: knee for name, knee in bends.items() if name not in mixed}
    tried: list[Experiment] = []
    if record.probes:
        tried, found = _tried(record, found, bends, bounds, every, measure)
        bends = {name: knee for name, knee in knees(found).items() if name in bends}
    mixes_differ = mixes.problems(found, bends)
    bends = mixes.without_mixed(found, bends)
    apart = scenario.events_apart(record.stages)
    found = goals.marked(relaxation.marked(found, bends), record)
    found = silent_upstream.marked(repeats.marked(found, notes), record)
    results, problems = _slos(record, found, bends) if header.capacity_search is None else ([], [])
    try:
        sought = searches.of_record(record)
        problems = [*problems, *searches.left_out(record)]
    except ValueError as error:
        sought, problems = {}, [*problems, f"What was searched for cannot be read: {error}"]
    try:
        verdicts = of_run.of_record(record, samples)
    except ValueError as error:
        verdicts, problems = [], [*problems, f"What was compared cannot be read: {error}"]
    return Run(
        id=header.id,
        name=header.name,
        started=header.started,
        status=record.status,
        problems=[
            *record.problems,
            *siblings.shared(header.environment),
            *upstream_changes.problems(record, mixed),
            *_skipped(record, found),
            *_refused(record),
            *_strangers(record),
            *scenario.problems(record, apart),
            *mixes_differ,
            *outside.denied(samples, found),
            *outside.ended(record.stages, samples),
            *certificates.unchecked(record),
            *canaries.problems(found),
            *problems,
        ],
        environment=header.environment,
        deployments=header.deployments,
        plan=header.plan,
        points=found,
        knees=bends,
        ceilings=bounds,
        experiments=tried,
        capacities=sought,
        slos=results,
        verdicts=verdicts,
        changes=upstream_changes.of_record(record),
        apart=apart,
    )


def _explained(
    record: Record, found: list[Point], samples: Sequence[Mapping[str, Any]]
) -> tuple[list[Point], dict[str, list[Ceiling]]]:
    """The points with what limits them, and the ceilings of each deployment."""
    header = record.header
    profile = ceilings.profile_of(header.plan)
    settings = {name: ceilings.settings_of(header.plan, name) for name in _deployments(record)}
    workers = {name: ceilings.number(table, "workers") or 1 for name, table in settings.items()}
    seen = observations(found, record.stages, samples, header.deployments, workers)
    bounds, limits = {}, {}
    for name, levels in seen.items():
        found_of = [
            *ceilings.ceilings(levels, settings.get(name, {}), profile),
            *gauged.ceilings(levels),
        ]
        bounds[name] = sorted(found_of, key=lambda one: one.throughput)
        table = json_table(header.plan, "deployments", name)
        limits[name] = causes.limits(levels, bounds[name], table)
        bounds[name] = ceilings.explained(bounds[name], limits[name].values())
    each = {(name, one.level): one.cpu_each for name, levels in seen.items() for one in levels}
    explained = [
        point.model_copy(
            update={"limit": limits[point.deployment].get(point.level)}
            | canaries.with_cpu(point, each.get((point.deployment, point.level)))
        )
        if point.request == ALL
        else point
        for point in found
    ]
    return explained, bounds


def _before_probes(
    record: Record, samples: Sequence[Mapping[str, Any]]
) -> Sequence[Mapping[str, Any]]:
    """The samples of the ladder, without those of the experiments after it."""
    begins = next((one.begun.at for one in record.probes if one.begun), None)
    return samples if begins is None else [one for one in samples if one["at"] < begins]


def _tried(
    record: Record,
    found: list[Point],
    bends: Mapping[str, Knee],
    bounds: Mapping[str, list[Ceiling]],
    samples: Sequence[Mapping[str, Any]],
    measure: Measure,
) -> tuple[list[Experiment], list[Point]]:
    """The run's experiments, and the points with what they say."""
    header = record.header

    def observe(name: str, records: Sequence[StageRecord]) -> Observation | None:
        workers = ceilings.number(ceilings.settings_of(header.plan, name), "workers") or 1
        seen = measure(records, samples)
        levels = observations(seen, records, samples, header.deployments, {name: workers})
        return next(iter(levels.get(name, [])), None)

    tried: list[Experiment] = []
    marked: dict[tuple[str, int], Point] = {}
    for name in dict.fromkeys(one.stage.deployment for one in record.probes):
        table = json_table(header.plan, "deployments", name)
        service = Service(name, _levels(found, name), bends.get(name), bounds.get(name, []), table)
        probes = [one for one in record.probes if one.stage.deployment == name]
        these, points = of_service(service, probes, samples, observe)
        tried += these
        marked |= {(name, point.level): point for point in points}
    return tried, [
        marked.get((point.deployment, point.level), point) if point.request == ALL else point
        for point in found
    ]


def _slos(
    record: Record, found: list[Point], bends: Mapping[str, Knee]
) -> tuple[list[SloResult], list[str]]:
    """The results, and a problem for each SLO that cannot be read."""
    plan = record.header.plan
    results, problems = [], []
    for name, text in json_table(plan, "slos").items():
        try:
            slo = slos.parse(str(text))
        except ValueError as error:
            problems.append(f"The SLO {name} = {text!r} cannot be read: {error}")
            continue
        against = _evidence(record, found, bends, slo.against) if slo.against else None
        for deployment in [slo.deployment] if slo.deployment else _deployments(record):
            evidence = _evidence(record, found, bends, deployment)
            results.append(slo_result(name, slo, evidence, against))
    return results, problems


def _skipped(record: Record, found: Sequence[Point]) -> list[str]:
    """A sentence for each deployment whose climb ended early; other schedules choose levels."""
    header = record.header
    if header.comparison is not None or header.capacity_search is not None:
        return []
    levels = json_table(header.plan, "load").get("levels", [])
    texts = (collapse.skipped(name, _levels(found, name), levels) for name in _deployments(record))
    return [text for text in texts if text]


def _levels(found: Sequence[Point], deployment: str) -> list[Point]:
    """The points of all requests of a deployment, by rising level."""
    mine = [one for one in found if (one.deployment, one.request) == (deployment, ALL)]
    return sorted(mine, key=lambda point: point.level)


def _evidence(
    record: Record, found: list[Point], bends: Mapping[str, Knee], deployment: str
) -> Evidence:
    return Evidence(
        deployment=deployment,
        levels=json_table(record.header.plan, "load").get("levels", []),
        points={point.level: point for point in _levels(found, deployment)},
        records=[one for one in record.stages if one.stage.deployment == deployment],
        knee=bends.get(deployment),
    )


def _deployments(record: Record) -> list[str]:
    """The deployments of the plan; of a run without one, those that were measured."""
    planned = json_table(record.header.plan, "deployments") or record.header.deployments
    return list(planned) or list(dict.fromkeys(one.stage.deployment for one in record.stages))


def _refused(record: Record) -> list[str]:
    """A problem for each host to which the load generator was not let."""
    counts: Counter[str] = Counter()
    for stage in record.stages:
        for done in stage.dones.values():
            counts.update(done.refused)
    return [
        f"host not allowed: {host}. The load generator was kept from connecting to it "
        f"{'once' if count == 1 else f'{count:,} times'}, since no deployment of the plan runs "
        f"there. {how_to_allow(host)}."
        for host, count in sorted(counts.items())
    ]


def _strangers(record: Record) -> list[str]:
    """The problem that processes other than the workers tried to become one; empty: none did."""
    count = sum(done.strangers for stage in record.stages for done in stage.dones.values())
    if not count:
        return []
    times = "once" if count == 1 else f"{count:,} times"
    return [
        "A process that is not a worker of this run connected to the port of the load "
        f"generator's workers, and was refused {times}: it has sent and received nothing."
    ]
