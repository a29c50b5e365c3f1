"""The record of a search -> the capacity of each deployment."""

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.analysis.capacity import result
from loadtests.analysis.capacity.margins import Bounds, Trial, compared, searchable, trial
from loadtests.analysis.checks import sampling
from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.points import ALL, points, slow_quantiles
from loadtests.plans.slos import Slo, parse
from loadtests.results import Capacity


def of_record(record: Record) -> dict[str, Capacity]:
    """The capacities by deployment; empty when the run was no search."""
    if record.header.capacity_search is None:
        return {}
    bounds = Bounds.model_validate(record.header.capacity_search)
    plan = record.header.plan
    slos = _slos(record)
    model = (plan.get("load") or {}).get("model", "closed")
    names = list(plan.get("deployments") or {})
    return {
        name: _of_deployment(
            searchable(slos, name),
            [one for one in record.stages if one.stage.deployment == name],
            sampling.expected(record),
            bounds,
            "users" if model == "closed" else "requests/s",
        )
        for name in names
    }


def left_out(record: Record) -> list[str]:
    """A sentence for each SLO of the plan that the search could not ask for."""
    if record.header.capacity_search is None:
        return []
    return [f"{why}; it was left out." for why in compared(_slos(record))]


def _slos(record: Record) -> dict[str, Slo]:
    texts = record.header.plan.get("slos") or {}
    return {name: parse(str(text)) for name, text in texts.items()}


def _of_deployment(
    slos: Mapping[str, Slo],
    stages: Sequence[StageRecord],
    samples: Sequence[Mapping[str, Any]],
    bounds: Bounds,
    unit: str,
) -> Capacity:
    trials = [found for one in stages if (found := _trial(slos, one, samples))]
    begun = [one.begun.at for one in stages if one.begun]
    ends = [window[1] for one in stages if (window := one.window)]
    seconds = max(ends) - min(begun) if begun else 0.0
    return result.capacity(slos, trials, bounds, unit, seconds)


def _trial(
    slos: Mapping[str, Slo], record: StageRecord, samples: Sequence[Mapping[str, Any]]
) -> Trial | None:
    """Each stage by itself, as the search saw it; None when nothing came back."""
    point = next((p for p in points([record], samples) if p.request == ALL), None)
    if point is None:
        return None
    return trial(slos, point, slow_quantiles([record], point.noise))
