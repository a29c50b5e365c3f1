"""What may be chosen on Locust's command line and in its web form, and what was chosen."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loadtests import override_table, plans
from loadtests.environment import LOCUST_WORDS
from loadtests.plans import overrides

PLAN = "BROWNOUT_PLAN"  # the environment variable that names the plan
_LONG = "brownout-"  # before a name: no locustfile has an option of that name


def plan_path(arguments: list[str] | None = None) -> Path:
    """
    The plan that this process plays: `--plan`, else BROWNOUT_PLAN, else the default one.

    Read before Locust parses its command line, since the plan says what the form offers.

    Raises:
        plans.PlanError: there is no such plan.
    """
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named = os.environ.get(PLAN, "default")
    early.add_argument(f"--{_LONG}plan", "--plan", dest="plan", default=named)
    known, _ = early.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    return plans.find(known.plan)


def extra_words(plan: plans.Plan) -> list[str]:
    """
    The words of Locust's command line that the plan or the brownout command has for it.

    They do not come by the command line, which every user of this machine can read.
    """
    given = os.environ.pop(LOCUST_WORDS, None)
    return plan.locust.words() if given is None else list(json.loads(given))


def give(parser: Any, words: Sequence[str]) -> None:
    """Have a parser read these words before those of the command line."""
    parse = parser.parse_args

    def parse_args(args: Sequence[str] | None = None, *more: Any, **kw: Any) -> Any:
        typed = [*_joined(parser, words), *sys.argv[1:]] if args is None else args
        return parse(typed, *more, **kw)

    parser.parse_args = parse_args


def _joined(parser: Any, words: Sequence[str]) -> list[str]:
    """
    The words; `--size=1 --size=2` is `--size 1 2` to an option that takes several values.

    Without that the last one would count, whereas one that appends takes each on its own.
    """
    joined: list[str] = []
    last = ""  # the option whose values are being joined
    for word in words:
        flag, equals, value = word.partition("=")
        action = parser._option_string_actions.get(flag)
        if equals and action is not None and action.nargs in ("+", "*"):
            joined += [value] if flag == last else [flag, value]
            last = flag
        else:
            joined.append(word)
            last = ""
    return joined


def add(parser: Any, plan: plans.Plan) -> list[str]:
    """
    Add our options, with the plan's values in them.

    Returns:
        A sentence for each that the locustfile has, too: it has the short name then.
    """
    # Locust listens on all addresses; who wants that asks for it.
    parser.set_defaults(web_host="127.0.0.1")
    group = parser.add_argument_group("brownout", "Which deployments, which levels, how long")
    names = list(plan.deployments)
    _add(parser, group, "plan", default="", help="Plan to play", include_in_web_ui=False)
    _add(parser, group, "out", default="runs", help="Folder for the runs", include_in_web_ui=False)
    _add(
        parser,
        group,
        "deployments",
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
        _add(parser, group, name, default=values[name], help=override.help, choices=known)
    return list(_clashes(parser))


def _add(
    parser: Any,
    group: Any,
    name: str,
    *,
    include_in_web_ui: bool = True,
    is_multiple: bool = False,
    **kw: Any,
) -> None:
    flag = name.replace("_", "-")
    taken = f"--{flag}" in parser._option_string_actions or _has(parser, name)
    flags = [f"--{_LONG}{flag}", *([] if taken else [f"--{flag}"])]
    dest = _long(name) if taken else name
    # Locust's own `add_argument` takes these keywords, a group's does not; without the attributes
    # the option would never reach the web form.
    action = group.add_argument(*flags, dest=dest, **kw)
    action.include_in_web_ui = include_in_web_ui
    action.is_secret = False
    action.is_required = False
    action.is_multiple = is_multiple


def _has(parser: Any, dest: str) -> bool:
    return any(action.dest == dest for action in parser._actions)


def _long(name: str) -> str:
    return f"{_LONG}{name}".replace("-", "_")


def _clashes(parser: Any) -> Iterator[str]:
    for name in ("plan", "out", "deployments", *override_table.TABLE):
        if _has(parser, _long(name)):
            flag = name.replace("_", "-")
            yield (f"--{flag} is the locustfile's own option here; brownout's is --{_LONG}{flag}.")


def value(options: Any, name: str) -> Any:
    """The value of one of our options, whichever name it has."""
    return getattr(options, _long(name) if hasattr(options, _long(name)) else name)


def chosen(options: Any) -> dict[str, str]:
    """Our values among Locust's parsed options, as text."""
    texts = {name: str(value(options, name)) for name in override_table.TABLE}
    return texts | {"deployments": ",".join(value(options, "deployments"))}
