"""Plan: what is measured, under which load, and its SLOs. TOML.

Imports nothing heavy: the load generator's process reads plans, too.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from loadtests import redaction
from loadtests.plans import one_line, placeholders
from loadtests.plans.deployments import (
    Deployment,
    UrlDeployment,
    expanded,
    folder_of_plan,
)
from loadtests.plans.errors import PlanError, explain, mistakes, no_such
from loadtests.plans.fields import Whole, name_of_deployment, recordable
from loadtests.plans.hosts import check_host, parts_of
from loadtests.plans.inline_toml import has_null
from loadtests.plans.load import Load
from loadtests.plans.locust import Locust
from loadtests.plans.requests import Request
from loadtests.plans.slos import Slo, parse
from mock_upstream.profiles.profile import Profile
from mock_upstream.profiles.profile import load as load_profile
from mock_upstream.units.documents import from_toml, shortened
from mock_upstream.units.durations import format_duration
from mock_upstream.units.tables import StrictTable


def _slo(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        load = info.data.get("load") if (info.context or {}).get("search") else None
        if not isinstance(load, Load):
            return parse(value)
        slo = parse(value, load.levels[0])
        if slo.level is None or slo.level in load.levels:
            return slo
        return parse(re.sub(r"\d+\s*$", str(load.levels[0]), value))  # it is replaced anyway
    raise ValueError(f'{value!r} is not text, such as "p95 < 250ms at 40"')


SloText = Annotated[InstanceOf[Slo], BeforeValidator(_slo), PlainSerializer(lambda slo: slo.text)]


class Plan(StrictTable):
    """A whole plan, resolved: no matrix, and no other file but the user's own locustfile."""

    name: str = Field(examples=["checkout"])
    seed: Annotated[Whole, Field(ge=0)] = 0
    allow_hosts: tuple[str, ...] = Field(default=(), examples=[["staging.example.org"]])
    """Hosts beyond this machine that may be loaded."""
    locustfile: Path | None = None
    """The user's scenario: its User classes keep their tasks."""
    locust: Locust = Locust()
    """What the locustfile is given, and which of its events are requests."""
    telemetry: bool = True
    """Ask instrumented deployments for phases and gauges, at a microsecond a request."""
    load: Load = Load()
    upstream: Profile = Profile()
    deployments: dict[str, Deployment] = Field(
        description="write [deployments.NAME] with variant, command or url"
    )
    requests: tuple[Request, ...] = ()
    slos: dict[str, SloText] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[\w][\w. -]{0,79}", name):
            raise ValueError(
                f"{name!r} cannot name a run's folder: up to 80 letters, digits, spaces and _ . -, "
                "a letter or digit first"
            )
        return name

    @field_validator("locustfile")
    @classmethod
    def _is_a_file(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None:
            return None
        found = (folder_of_plan(info) / path).absolute()
        if not os.path.isfile(found):
            several = "," in str(path) or os.path.isdir(found)
            way_out = ": name one file, which imports the User classes of others" if several else ""
            raise ValueError(f"'{path}' is not a file (looked for {found}){way_out}")
        return recordable(found)

    @field_validator("upstream", mode="before")
    @classmethod
    def _from_its_own_file(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):  # as `to_toml` writes what TOML has no word for
            return Profile.model_validate_json(value, context=info.context)
        if not isinstance(value, dict) or "profile" not in value:
            return value
        if len(value) > 1:
            others = ", ".join(key for key in value if key != "profile")
            raise ValueError(
                f"has a profile and {others}; put all into the profile's file, or here"
            )
        path = value["profile"]
        if not isinstance(path, str):
            raise ValueError(f'profile: {path!r} is not the path of a file, such as "slow.toml"')
        return load_profile(folder_of_plan(info) / path, {})

    @field_validator("deployments", mode="before")
    @classmethod
    def _matrices(cls, value: object) -> object:
        return expanded(value) if isinstance(value, dict) else value

    @field_validator("deployments")
    @classmethod
    def _names(cls, deployments: dict[str, Deployment]) -> dict[str, Deployment]:
        if not deployments:
            raise ValueError("is empty; write [deployments.NAME] with variant, command or url")
        for name in deployments:
            name_of_deployment(name)
        return deployments

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [
            *self._wrong_load(),
            *self._wrong_requests(),
            *self._wrong_slos(),
            *self._wrong_hosts(),
            *self._wrong_placeholders(),
        ]
        if found:
            raise mistakes(found)
        return self

    def _wrong_load(self) -> list["_Mistake"]:
        """The open model takes no users, so neither what they do between requests nor theirs."""
        found: list[_Mistake] = []
        if self.load.model == "open" and self.load.think_time:
            found.append(
                (
                    ("load", "think_time"),
                    f"{format_duration(self.load.think_time)!r} is a pause of users, and the open "
                    "model has none: its levels are requests per second; "
                    'take think_time = "0s" or model = "closed"',
                )
            )
        if self.load.model == "open" and self.locustfile is not None:
            found.append(
                (
                    ("load", "model"),
                    "users of a locustfile wait for their answers, so they cannot be played in the "
                    'open model; take model = "closed", or [[requests]] in place of the locustfile',
                )
            )
        return found

    def _wrong_requests(self) -> list["_Mistake"]:
        if self.locustfile is None and self.locust != Locust():
            return [(("locust",), 'is for a locustfile; add locustfile = "locustfile.py"')]
        if self.locustfile and self.requests:
            return [(("requests",), "the locustfile brings its own requests; keep one of the two")]
        if not self.locustfile and not self.requests:
            return [(("requests",), 'is missing; write [[requests]] and path = "/external-data"')]
        first: dict[str, int] = {}
        return [
            (
                ("requests", i, "name"),
                f"{request.name!r} is there before; give each request its own name",
            )
            for i, request in enumerate(self.requests)
            if first.setdefault(request.name, i) != i
        ]

    def _wrong_slos(self) -> list["_Mistake"]:
        found: list[_Mistake] = []
        known = {*self.load.levels}
        levels = shortened(", ".join(map(str, self.load.levels)))
        for name, slo in self.slos.items():
            found += [
                (("slos", name), no_such("deployment", named, self.deployments))
                for named in slo.named
                if named not in self.deployments
            ]
            if slo.level is not None and slo.level not in known:
                found.append(
                    (
                        ("slos", name),
                        f"{slo.level} is not among the levels ({levels}); add it there",
                    )
                )
        return found

    def _wrong_placeholders(self) -> list["_Mistake"]:
        if self.upstream.tls:
            return []
        return [
            (("deployments", name), "{upstream_ca} is there with [upstream] tls = true alone")
            for name, deployment in self.deployments.items()
            if "{upstream_ca}" in deployment.model_dump_json()
        ]

    def _wrong_hosts(self) -> list["_Mistake"]:
        found: list[_Mistake] = []
        for name, deployment in self.deployments.items():
            if isinstance(deployment, UrlDeployment):
                try:
                    check_host(deployment.url, self.allow_hosts)
                except PlanError as error:
                    found.append((("deployments", name, "url"), str(error)))
        return found


_Mistake = tuple[tuple[str | int, ...], str]


def read(path: Path, search: bool = False) -> Plan:
    """
    The plan of a TOML file. Relative paths in it start from its folder.

    Args:
        search: for a search of capacity, which replaces the levels of SLOs: one that names none is
            read as one at the plan's lowest level.

    Raises:
        PlanError: no such file, not TOML, or values that cannot be; all of them are told.
    """
    try:
        data = from_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise PlanError(f"{path} is not TOML: {error}") from None
    return _checked(data, path.absolute().parent, str(path), search)


def default() -> Plan:
    """What is measured when nobody says what."""
    return read(shipped()["default"])


def shipped() -> dict[str, Path]:
    """The shipped plans, by name."""
    folder = Path(str(resources.files("loadtests") / "examples"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(text: str) -> Path:
    """
    The file that is meant: its path, or the name of a shipped plan.

    Raises:
        PlanError: there is neither.
    """
    path, known, near = Path(text), shipped(), list[str]()
    if os.path.isfile(path):  # False where pathlib raises: a name can be too long
        return path
    if text in known:
        return known[text]
    if os.path.isdir(path):
        raise PlanError(
            f"{text} is a folder, and a plan is a file, such as {path / 'brownout.toml'}"
        )
    with suppress(OSError):
        near = [str(path.with_name(one.name)) for one in path.absolute().parent.glob("*.toml")]
    nearest = get_close_matches(text, [*near, *known], n=1)
    meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise PlanError(
        f"there is no plan {text!r}: neither a file nor one of {', '.join(known)}.{meant}"
    )


def to_toml(plan: Plan) -> str:
    """
    The plan as it is recorded, without its secrets; see loadtests.redaction. Reading it gives an
    equal one otherwise, from whatever folder.
    """
    return tomli_w.dumps(redaction.of_plan(_data(plan)))


def check(plan: Plan) -> None:
    """
    Check that the plan can be played: each of its placeholders has a value.

    Raises:
        PlanError: what is missing.
    """
    placeholders.check(_data(plan))


def altered(
    plan: Plan,
    *,
    deployments: Sequence[str] | None = None,
    url: str | None = None,
    upstream: str | None = None,
    slos: str | None = None,
    telemetry: bool | None = None,
    **load: str,
) -> Plan:
    """
    The plan with some values replaced, as a command line or a form has them; None keeps the plan's.

    The plan's SLOs that name a deployment which is left out are left out with it.

    Args:
        url: of a service, which takes the place of the deployments; named by host and port.
        upstream, slos: as `plans.lines` reads them.
        load: values of the plan's load, by name.

    Raises:
        PlanError: values that cannot be.
    """
    data = _data(plan)
    # As it is: what it has from files is not read again.
    data["upstream"] = (
        plan.upstream if upstream is None else one_line.upstream(upstream, plan.upstream)
    )
    if slos is not None:
        data["slos"] = one_line.slos(slos, plan.slos)
    if url is not None:
        data = _with(data, {_name_of(url): {"url": url}}, plan)
    elif deployments is not None:
        unknown = [name for name in deployments if name not in plan.deployments]
        if unknown:
            raise PlanError("\n".join(no_such("deployment", n, plan.deployments) for n in unknown))
        data = _with(data, {n: d for n, d in data["deployments"].items() if n in deployments}, plan)
    if telemetry is not None:
        data["telemetry"] = telemetry
    data["load"].update({name: _loaded(name, text) for name, text in load.items()})
    return _checked(data)


def against(plan: Plan, deployments: dict[str, Any]) -> Plan:
    """
    The plan with these deployments alone, each as a plan's table has it, and without its SLOs.

    Raises:
        PlanError: one of them cannot be.
    """
    return _checked({**_data(plan), "deployments": deployments, "slos": {}}, Path())


def common_keys(plan: Plan) -> dict[str, Any]:
    """
    The keys of a command deployment that all of the plan's have alike, such as `env` and `ready`;
    none that belong to one command alone.
    """
    tables = [table for table in _data(plan)["deployments"].values() if "command" in table]
    first, *others = tables or [{}]
    own = ("command", "cwd", "stop", "limit")
    return {
        key: value
        for key, value in first.items()
        if key not in own and all(other.get(key) == value for other in others)
    }


def _name_of(url: str) -> str:
    """Host and port of a service."""
    parts = parts_of(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or {'http': 80, 'https': 443}[parts.scheme]}"


def _with(data: dict[str, Any], deployments: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The data with these deployments alone, and without the plan's SLOs that name others."""
    gone = {n: o.text for n, o in plan.slos.items() if not {*o.named} <= {*deployments}}
    slos = {name: text for name, text in data["slos"].items() if gone.get(name) != text}
    return {**data, "deployments": deployments, "slos": slos}


def _loaded(name: str, text: str) -> Any:
    """A value of the load as a plan has it."""
    if name == "levels":
        return [_whole(one) for one in text.split(",") if one.strip()]
    return _whole(text) if name == "repeats" else text


def _whole(text: str) -> int | str:
    """The number, or the text as it is, for the check to refuse."""
    text = text.strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text


def _data(plan: Plan) -> dict[str, Any]:
    """The plan as TOML's types."""
    data = plan.model_dump(mode="json", exclude_none=True)
    if any(has_null(route.payload) for route in plan.upstream.routes):
        data["upstream"] = plan.upstream.model_dump_json()
    return data


def _checked(
    data: dict[str, Any], folder: Path | None = None, source: str = "", search: bool = False
) -> Plan:
    try:
        context = {"folder": folder or Path(), "search": search}
        return Plan.model_validate(data, context=context)
    except ValidationError as error:
        raise explain(error, Plan, _with_matrices(data), source) from None


def _with_matrices(data: dict[str, Any]) -> dict[str, Any]:
    """The data as they were checked: with a deployment for each value of a matrix."""
    try:
        return {**data, "deployments": expanded(data["deployments"])}
    except (KeyError, TypeError, AttributeError, ValueError):  # that is the mistake
        return data
