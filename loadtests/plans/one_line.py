"""An upstream, and SLOs, as one line of text each: as a command line and a form have them.

Nobody makes the program read a file by such a line: it may come from a web form.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

from pydantic import ValidationError

from loadtests.plans.errors import PlanError, explain
from loadtests.plans.inline_toml import inside
from loadtests.plans.slos import METRICS, Slo, parse
from mock_upstream.latency.parser import parse as parse_latency
from mock_upstream.profiles.merge_patch import merged
from mock_upstream.profiles.profile import Profile
from mock_upstream.units.documents import listed
from mock_upstream.units.grammar import TextError

NONE = "none"  # no SLOs; as a value of an upstream: as if it had never been given

_LONGEST = 200  # characters; a form's field shows no more of them
# What is too long for a line, and what changes the draws or the mock but not the upstream.
_UNSAID = {"routes", "timeline", "seed", "overrides", "caps", "budget"}
_VALUES = 'latency = "200ms", capacity = {servers = 10}'
_SLOS = "p95 < 250ms at 40; errors < 1%"
_OPENING = "upstream = {"
_KEY = re.compile(r"""(?!(?:p[\d.]+|max)\s*=)["'A-Za-z_][\w."'-]*\s*=""")  # p95=80ms: a latency
_NAME = re.compile(rf"(?!(?:{'|'.join(METRICS)})\s*=)([\w-]+)\s*=(?!=)")


def upstream_line(profile: Profile) -> str:
    """
    The latency, and what else was given as far as a line can say it.

    To lay the line over the profile changes nothing, whether it says all of it or not.
    """
    latency = str(profile.latency)
    others = profile.model_dump(mode="json", exclude_defaults=True, exclude=_UNSAID | {"latency"})
    if not others:
        return latency
    line = inside({"latency": latency, **others})
    return line if len(line) <= _LONGEST else latency


def upstream(line: str, base: Profile) -> Profile:
    """
    The profile with what the line says: a latency, or values as in a TOML inline table.

    They are laid over its own: what is not named stays, and "none" takes a value away.

    Raises:
        PlanError: it is neither, or names a file that the profile does not have already.
    """
    line = " ".join(line.splitlines()).strip()  # on a line of its own could stand another table
    if line == upstream_line(base):
        return base
    try:
        return _laid_over(base, line)
    except RecursionError:
        raise PlanError(f"upstream: {line!r:.100} has too many tables in tables") from None


def slos_line(slos: Mapping[str, Slo]) -> str:
    """Their texts."""
    return "; ".join(_spaced(slo.text) for slo in slos.values()) or NONE


def slos(line: str, base: Mapping[str, Slo]) -> dict[str, str]:
    """
    The SLOs of the line by name, as a plan's table has them.

    A name is given as `name = text`; else the text has that of the same one in `base`, or one that
    says what it is of.

    Raises:
        PlanError: none in it, one without an objective, or two of one name.
    """
    if line.strip() == NONE:
        return {}
    parts = [_part(text.strip()) for text in line.split(";") if text.strip()]
    if not parts:
        raise PlanError(f"slos: {line[:_LONGEST]!r} has none; write {_SLOS}, or {NONE} for none")
    wrong, given = [], dict[str, str]()
    for name, text in parts:
        try:
            parse(text)
        except ValueError as error:
            wrong.append(f"slos: {error}")
        if name and given.setdefault(name, text) != text:
            wrong.append(
                f"slos: {given[name]!r} and {text!r} are both called {name!r}; "
                "give each its own name, or none"
            )
    if wrong:
        raise PlanError(listed(wrong))
    texts = {_spaced(text) for name, text in parts if not name}
    kept = {
        name: slo.text
        for name, slo in base.items()
        if _spaced(slo.text) in texts and given.get(name, slo.text) == slo.text
    }
    found = dict[str, str]()
    for name, text in parts:
        same = {n: old for n, old in kept.items() if _spaced(old) == _spaced(text)}
        if name:
            found[name] = text
        elif same:
            found |= same
        elif text not in found.values():
            found[_unused(_name_of(text), {*given, *kept, *found})] = text
    return found


def _laid_over(base: Profile, line: str) -> Profile:
    known = base.known
    values = merged(base.model_dump(mode="json"), _values(line, known["latencies"]))
    try:
        return Profile.model_validate(values, context=known)
    except ValidationError as error:
        raise explain(error, Profile, values, "upstream") from None


def _values(line: str, latencies: Collection[str]) -> dict[str, Any]:
    """The values of the line as a merge patch."""
    try:
        if line not in latencies:  # those of files are there, and are not read again
            parse_latency(line)
        return {"latency": line}
    except TextError as error:
        no_latency = error
    if not _KEY.match(line):
        raise PlanError(
            f"upstream: {no_latency}\nWrite a latency, such as 200ms, or values of a profile, "
            f"such as {_VALUES}"
        )
    try:
        values: dict[str, Any] = tomllib.loads(f"{_OPENING}{line}}}")["upstream"]
    except ValueError as error:
        why = re.sub(
            r"\(at line 1, column (\d+)\)",
            lambda place: f"(column {int(place[1]) - len(_OPENING)})",
            str(error),
        )
        raise PlanError(
            f"upstream: {line!r:.100} cannot be read as TOML: {why}; texts stand in quotes, for "
            f"example {_VALUES}"
        ) from None
    return _patch(values)


def _patch(values: dict[str, Any]) -> dict[str, Any]:
    """The patch with null, which TOML lacks."""
    return {
        key: None if value == NONE else _patch(value) if isinstance(value, dict) else value
        for key, value in values.items()
    }


def _part(text: str) -> tuple[str, str]:
    """Its name, or nothing, and the SLO."""
    named = _NAME.match(text)
    return (named[1], text[named.end() :].strip()) if named else ("", text)


def _spaced(text: str) -> str:
    """The text as a form returns it: without line breaks."""
    return " ".join(text.split())


def _name_of(text: str) -> str:
    """What an SLO is of, as a name."""
    slo = parse(text)
    level = [] if slo.level is None else ["at", str(slo.level)]
    return "-".join([slo.metric, *slo.named, *level])


def _unused(name: str, taken: Collection[str]) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)
