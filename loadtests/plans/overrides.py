"""What a user may choose for one run without touching the plan: as texts, the same everywhere.

The command line, Locust's web form and the message in between all use these names and texts.
"""

import re
from collections.abc import Mapping
from typing import Any

from loadtests import override_table, plans
from loadtests.plans import one_line
from loadtests.plans.load import ARRIVALS, MODELS

PLANNED = "the plan's deployments"  # stands in Locust's Host field; a URL there replaces them
ONE_OF: Mapping[str, tuple[str, ...]] = {"model": MODELS, "arrivals": ARRIVALS}
_BETWEEN_NAMES = re.compile(r",(?![^\[]*\])")  # a matrix makes names such as threads[20,2]


def of(plan: plans.Plan) -> dict[str, str]:
    """The plan's own values."""
    load = plan.load
    return {
        "deployments": ",".join(plan.deployments),
        "upstream": one_line.upstream_line(plan.upstream),
        "model": load.model,
        "arrivals": load.arrivals,
        "levels": ", ".join(map(str, load.levels)),
        "settle": f"{load.settle:g}s",
        "measure": "" if load.measure is None else f"{load.measure:g}s",
        "think_time": f"{load.think_time:g}s",
        "repeats": str(load.repeats),
        "slos": one_line.slos_line(plan.slos),
    }


def applied(plan: plans.Plan, values: Mapping[str, str]) -> plans.Plan:
    """
    The plan with what was chosen; what is absent or empty stays. A "host" (URL) takes the place of
    the deployments.

    Raises:
        plans.PlanError: a value cannot be; the message says which and the way out.
    """
    listed = _listed(values.get("deployments", ""))
    host = values.get("host") or PLANNED
    others: dict[str, Any] = {n: text for n in override_table.TABLE if (text := values.get(n))}
    url = None if host == PLANNED else host
    return plans.altered(plan, deployments=listed or None, url=url, **others)


def names(text: str, plan: plans.Plan) -> list[str]:
    """The deployments that a list names, such as "a,threads[20,2]"; "all" of them."""
    found = _listed(text)
    return list(plan.deployments) if found == ["all"] and "all" not in plan.deployments else found


def _listed(text: str) -> list[str]:
    return [name.strip() for name in _BETWEEN_NAMES.split(text) if name.strip()]
