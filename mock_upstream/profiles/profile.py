"""Profile: how an upstream behaves. The only place where text becomes behaviour."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mock_upstream.admission.capacity import ServerCapacity
from mock_upstream.admission.rate_limits import Limit
from mock_upstream.faults import FaultTable
from mock_upstream.latency.distributions import Latency
from mock_upstream.latency.draws import Sampling
from mock_upstream.latency.field import LatencyText
from mock_upstream.latency.parser import parse
from mock_upstream.latency.spells import Spells
from mock_upstream.profiles.budget import Budget
from mock_upstream.profiles.compiled_timeline import CompiledTimeline, TimelineError
from mock_upstream.profiles.paths import invented
from mock_upstream.profiles.route_paths import (
    LONGEST_PATH,
    MOST_ROUTES,
    QUERY,
    checked_method,
    checked_path,
    filled_pieces,
    path_names,
    unknown_names,
    unreachable,
)
from mock_upstream.profiles.timeline import Timeline
from mock_upstream.responses.bodies import Body
from mock_upstream.units.documents import from_json, from_toml, listed
from mock_upstream.units.durations import LONGEST, Duration, PositiveDuration, format_duration
from mock_upstream.units.files import FileName
from mock_upstream.units.sizes import PositiveBytes, format_bytes
from mock_upstream.units.tables import StrictTable

DEFAULT_LATENCY = "p50=50ms p95=80ms p99=150ms"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# The mock writes these itself, by the body that it sends.
_OWN_HEADERS = {"content-length", "transfer-encoding"}


def _errors(errors: dict[int, float]) -> dict[int, float]:
    for status, probability in errors.items():
        if not 400 <= status <= 599:
            raise ValueError(f"{status} is not an error status; they are 400 to 599")
        if not 0 <= probability <= 1:
            raise ValueError(f"{status} = {probability} is not a probability; it lies in 0 to 1")
    if sum(errors.values()) > 1 + 1e-9:
        raise ValueError(f"the probabilities add up to {sum(errors.values()):g}, above 1")
    return errors


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is set by the mock, from the body that it sends")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"{name} has the value {value!r}, which no header can carry")
    return headers


def _ok() -> JsonValue:
    return {"ok": True}


def _json(payload: JsonValue) -> JsonValue:
    dumps(payload, allow_nan=False)  # TOML has nan and inf, JSON has not
    return payload


Errors = Annotated[dict[int, float], AfterValidator(_errors)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]


class Caps(StrictTable):
    """How much a profile, or an override, may ask for."""

    delay: PositiveDuration = LONGEST
    """Longer ones are cut to it."""
    body: PositiveBytes = 100_000_000
    chunks: PositiveInt = 10_000


class Route(StrictTable):
    """What is answered to one method and path; the first route that matches wins."""

    path: Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(checked_path)]
    """As the service asks for it; `{name}` stands for one part of it."""
    method: Annotated[str, AfterValidator(checked_method)] | None = None
    """None: any method."""
    status: Annotated[int, Field(ge=200, le=599)] = 200
    headers: Headers = Field(default_factory=dict)
    payload: Annotated[JsonValue, AfterValidator(_json)] = Field(default_factory=_ok, alias="json")
    """The body. `{name}` in its strings is filled from the path, `{query.name}` from the query."""
    file: FileName | None = None
    """Its bytes are the body, in place of `json`."""
    latency: LatencyText | None = None
    """None: the profile's."""
    network: Duration | None = None
    """None: the profile's."""
    errors: Errors | None = None
    """None: the profile's."""
    faults: tuple[FaultTable, ...] | None = None
    """None: the profile's."""
    body: Body | None = None
    """None: the profile's."""

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.file is not None and self.payload != _ok():
            raise ValueError("json and file are both given; an answer has one body")
        return self

    @field_validator("payload")
    @classmethod
    def _names_what_is_filled(cls, payload: JsonValue, info: ValidationInfo) -> JsonValue:
        names = path_names(info.data.get("path", ""))
        unknown = unknown_names(dumps(payload, ensure_ascii=False), names)
        if unknown and "path" in info.data:
            known = ", ".join(f"{{{name}}}" for name in (*names, f"{QUERY}NAME"))
            raise ValueError(
                f"nothing fills {{{unknown[0]}}}; there are: {known}. A file is sent as it is"
            )
        return payload

    @field_validator("headers")
    @classmethod
    def _names_nothing_to_be_filled(
        cls, headers: dict[str, str], info: ValidationInfo
    ) -> dict[str, str]:
        names = path_names(info.data.get("path", ""))
        for header, value in headers.items():
            _, *filled = filled_pieces(value, names)
            if filled:
                raise ValueError(
                    f"{{{filled[0]}}} in {header} would be sent as it is; only json is filled"
                )
        return headers

    @property
    def name(self) -> str:
        """Method and path: names the route in messages, and keys its draws."""
        return route_name(self.method, self.path)


def route_name(method: str | None, path: str) -> str:
    """Return what names a route in messages, and keys its draws."""
    return f"{method or 'ANY'} {path}"


class Profile(StrictTable):
    """One upstream."""

    tls: bool = False
    """HTTPS, with a certificate of its own authority; decided when the mock starts."""
    seed: int = 0
    """The same seed gives the n-th request of a route the same delay and status."""
    latency: LatencyText = parse(DEFAULT_LATENCY)
    """Of the service, for one request; see `mock_upstream.latency.parser`."""
    sampling: Sampling = "random"
    """Whether the draws of consecutive requests lie together evenly."""
    spells: Spells | None = None
    """None: no slow spells."""
    network: Duration = 0.0
    """On the way: half before the server and half after it, and added to the latency."""
    scale: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    """Times every latency and network delay, so that a whole upstream is made faster or slower."""
    errors: Errors = Field(default_factory=dict)
    """Error status -> probability; such an answer takes as long as a good one."""
    capacity: ServerCapacity | None = None
    """None: no request ever waits for another."""
    limits: tuple[Limit, ...] = ()
    """A request must pass all of them."""
    faults: tuple[FaultTable, ...] = ()
    """The first one that happens to a request is played."""
    body: Body | None = None
    """None: a route's own, at once."""
    timeline: Timeline | None = None
    """What changes while it is played."""
    overrides: bool = True
    """Whether a request may ask for its own latency, status, fault, size and key."""
    caps: Caps = Caps()
    routes: Annotated[tuple[Route, ...], Field(max_length=MOST_ROUTES)] = ()
    """Without any, every method and path is answered 200 {"ok": true}."""
    budget: Budget = Budget()
    """From where on the mock says that it does not keep up."""

    @model_validator(mode="after")
    def _every_route_can_be_reached(self) -> Self:
        if pair := unreachable(tuple((route.method, route.path) for route in self.routes)):
            later, first = (route_name(*key) for key in pair)
            if later == first:
                raise ValueError(f"route {later!r} is there twice; only the first would answer")
            raise ValueError(
                f"route {later!r} would never answer: {first!r} comes before it and takes all of "
                "its requests; put it first"
            )
        return self

    @model_validator(mode="after")
    def _keeps_to_its_caps(self) -> Self:
        caps = self.caps
        for path, latency in self._placed("latency"):
            if latency.exceeds(caps.delay):
                longest = format_duration(caps.delay)
                raise ValueError(f"{path}: the median of {latency} is above caps.delay, {longest}")
        for path, body in self._placed("body"):
            if body.size is not None and body.size.quantile(0.5) > caps.body:
                largest = format_bytes(caps.body)
                raise ValueError(f"{path}.size: {body.size} is above caps.body, {largest}")
            if body.chunks is not None and body.chunks > caps.chunks:
                raise ValueError(
                    f"{path}.chunks: {body.chunks} is above caps.chunks, {caps.chunks}"
                )
        for number, route in enumerate(self.routes):
            if route.file is not None and len(route.file.content) > caps.body:
                largest = format_bytes(caps.body)
                raise ValueError(f"routes.{number}.file: it is above caps.body, {largest}")
        return self

    @model_validator(mode="after")
    def _every_phase_can_be_played(self, info: ValidationInfo) -> Self:
        try:
            # Laid out once: it takes as long as checking a profile for each phase and step.
            vars(self)["schedule"] = self._laid_out(info.context or {})
        except TimelineError as error:
            raise ValueError(f"timeline: {error}") from None
        return self

    @cached_property
    def schedule(self) -> "CompiledTimeline[Profile] | None":
        """The profile as it is at each time; None: always as it is."""
        return self._laid_out({})

    @property
    def known(self) -> dict[str, Any]:
        """What was read from files, for the context in which a changed profile is validated."""
        latencies: list[Latency] = [latency for _, latency in self._placed("latency")]
        if self.spells and self.spells.latency:
            latencies.append(self.spells.latency)
        return {
            "latencies": {str(latency): latency for latency in latencies},
            "files": {route.file.path: route.file for route in self.routes if route.file},
        }

    def _placed(self, name: str) -> Iterator[tuple[str, Any]]:
        """A setting of the profile and of its routes, wherever it is given."""
        owners = {"": self} | {f"routes.{n}.": route for n, route in enumerate(self.routes)}
        for path, owner in owners.items():
            value = getattr(owner, name)
            if value is not None:
                yield f"{path}{name}", value

    def _laid_out(self, context: Mapping[str, Any]) -> "CompiledTimeline[Profile] | None":
        if self.timeline is None:
            return None
        known = {**context, **self.known}
        return CompiledTimeline(
            self.timeline, self.model_dump(mode="json"), partial(_changed, known), self
        )


def _changed(context: Mapping[str, Any], values: Mapping[str, Any]) -> Profile:
    try:
        return Profile.model_validate(values, context=context)
    except ValidationError as error:
        raise ValueError(describe(error, values)) from None


class ProfileError(ValueError):
    """A profile that cannot be played; the message says what, which value and why."""


def load(path: Path | None, overrides: Mapping[str, Any]) -> Profile:
    """
    The profile of a .toml or .json file, single values of it replaced.

    Files that it names lie in its folder; without a file, in the current one.

    Raises:
        ProfileError: no such file, not TOML or JSON, or values that cannot be.
    """
    values = {**(_read(path) if path else {}), **overrides}
    folder = path.parent if path else Path()
    try:
        return Profile.model_validate(values, context={"folder": folder.absolute()})
    except ValidationError as error:
        where = f"profile {path}" if path else "profile"
        raise ProfileError(f"{where}: {describe(error, values)}") from None


def describe(error: ValidationError, values: Any) -> str:
    """
    Return every complaint, a line each, with its path as the values have it, and without
    pydantic's trimmings.
    """
    return describe_all(error.errors(include_url=False), values)


def describe_all(problems: Iterable[Mapping[str, Any]], values: Any) -> str:
    """Return the same of pydantic's complaints by themselves."""
    lines = []
    for problem in problems:
        skipped = invented(problem, values)
        steps = [str(step) for n, step in enumerate(problem["loc"]) if n not in skipped]
        message = problem["msg"].removeprefix("Value error, ")
        match problem["type"]:
            case "extra_forbidden":
                message = "there is no such key"
            case "union_tag_invalid" | "union_tag_not_found":
                key, message = unknown_tag(problem["ctx"])
                steps.append(key)
        path = ".".join(steps)
        lines.append(f"{path}: {message}" if path else message)
    return listed(lines)


def unknown_tag(context: Mapping[str, Any]) -> tuple[str, str]:
    """Return the key that says which kind of table it is, and what is wrong with it."""
    key = str(context["discriminator"]).strip("'")
    if "tag" not in context:
        return key, "is missing"
    kinds = str(context["expected_tags"]).replace("'", "")
    return key, f"there is no {key} {context['tag']!r}; there are: {kinds}"


def _read(path: Path) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {".toml": from_toml, ".json": from_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ProfileError(f"profile {path}: the name must end in .toml or .json")
    try:
        values = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"profile {path}: {error.strerror}") from None
    except ValueError as error:
        raise ProfileError(f"profile {path}: not {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(values, dict):
        raise ProfileError(f"profile {path}: a table of settings is expected, not {values!r:.40}")
    return values
