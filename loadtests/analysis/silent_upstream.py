"""Levels at which no call reached the upstream that the mock plays."""

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.analysis.inputs.records import Record
from loadtests.analysis.inputs.sample_parts import json_table
from loadtests.results import Point
from mock_upstream.profiles.profile import Profile

NO_CALL = "no call reached the upstream"


def marked(points: Sequence[Point], record: Record) -> list[Point]:
    """
    Return the points, those of services that are meant to call the mock with a note where no
    request made a call: such a level says nothing about the upstream.
    """
    plan = record.header.plan
    meant = {name for name in record.header.deployments if _calls_the_mock(plan, name)}
    return [
        point.model_copy(update={"problems": [*point.problems, NO_CALL]})
        if point.deployment in meant and point.request == "all" and point.calls == 0
        else point
        for point in points
    ]


def _calls_the_mock(plan: Mapping[str, Any], name: str) -> bool:
    """Whether the deployment is told the mock's URL, or the plan describes its upstream."""
    described = json_table(plan, "deployments", name)
    if not described or "url" in described:
        return False
    told = "{upstream}" in str((described.get("command"), described.get("env")))
    usual = Profile().model_dump(mode="json", exclude_none=True)
    return "variant" in described or told or plan.get("upstream", usual) != usual
