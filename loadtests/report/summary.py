"""A run in a few values, for the option --json of the commands; run.json has all of it."""

from pathlib import Path
from typing import Any

from loadtests.analysis.summary import sentence
from loadtests.results import Point, Run


def summary(run: Run, folder: Path, exit_code: int) -> dict[str, Any]:
    """
    Return what the option --json prints, described in docs/formats.md.

    Args:
        folder: of the run.
    """
    report = folder / "report.html"
    return {
        "folder": str(folder),
        "report": str(report) if report.is_file() else None,
        "exit_code": exit_code,
        "name": run.name,
        "status": run.status,
        "deployments": {
            name: {
                "sentence": sentence(run, name),
                "knee": knee.model_dump(mode="json") if (knee := run.knees.get(name)) else None,
                "points": [_point(point) for point in run.of(name)],
            }
            for name in run.names
        },
        "slos": [slo.model_dump(mode="json") for slo in run.slos],
        "capacities": {n: one.model_dump(mode="json") for n, one in run.capacities.items()},
        "verdicts": [
            {"title": one.title, "verdict": one.verdict, "sentence": one.sentence}
            for one in run.verdicts
        ],
        "problems": run.problems,
    }


def _point(point: Point) -> dict[str, Any]:
    """The values of a level; seconds, requests per second, ratios."""
    times = {name: e.value if e else None for name, e in point.response_time.items()}
    return {
        "level": point.level,
        "valid": point.valid,
        "throughput": point.throughput.value,
        **times,
        "errors": point.errors.rate,
        "limit": point.limit.resource if point.limit else None,
    }
