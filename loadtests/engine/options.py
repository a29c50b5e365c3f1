"""What may be chosen on Locust's command line and in its web form, and what was chosen."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from loadtests import override_table, plans
from loadtests.plans import overrides

PLAN = "BROWNOUT_PLAN"  # the environment variable that names the plan


def plan_path(arguments: list[str] | None = None) -> Path:
    """
    The plan that this process plays: `--plan`, else BROWNOUT_PLAN, else the default one.

    Read before Locust parses its command line, since the plan says what the form offers.

    Raises:
        plans.PlanError: there is no such plan.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--plan", default=os.environ.get(PLAN, "default"))
    known, _ = early.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    return plans.find(known.plan)


def add(parser: Any, plan: plans.Plan) -> None:
    """Our options, with the plan's values in them."""
    # Locust listens on all addresses; who wants that asks for it.
    parser.set_defaults(web_host="127.0.0.1")
    group = parser.add_argument_group("brownout", "Which deployments, which levels, how long")
    _add(group, "--plan", default="", help="Plan to play", include_in_web_ui=False)
    _add(group, "--out", default="runs", help="Folder for the runs", include_in_web_ui=False)
    names = list(plan.deployments)
    _add(
        group,
        "--deployments",
        nargs="+",
        metavar="NAME",
        choices=names,
        default=names,
        is_multiple=True,
        help="Deployments to compare",
    )
    values = overrides.of(plan)
    for name, override in override_table.TABLE.items():
        # A list of choices is a select in the form.
        known = overrides.ONE_OF.get(name)
        flag = f"--{name.replace('_', '-')}"
        _add(group, flag, default=values[name], help=override.help, choices=known)


def _add(
    group: Any, flag: str, *, include_in_web_ui: bool = True, is_multiple: bool = False, **kw: Any
) -> None:
    # Locust's own `add_argument` takes these keywords, a group's does not; without the attributes
    # the option would never reach the web form.
    action = group.add_argument(flag, **kw)
    action.include_in_web_ui = include_in_web_ui
    action.is_secret = False
    action.is_required = False
    action.is_multiple = is_multiple


def chosen(options: Any) -> dict[str, str]:
    """Our values among Locust's parsed options, as text."""
    texts = {name: str(getattr(options, name)) for name in override_table.TABLE}
    return texts | {"deployments": ",".join(options.deployments)}
