"""
The control API: what the mock plays, and what it did. On a port of its own.

A profile is replaced whole or not at all, and has a version: its ETag. Who sends that as
`If-Match` replaces the profile that they have seen, and no other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import Body, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, JsonValue, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from mock_upstream.control import metrics
from mock_upstream.control.guard import MOST_BYTES, Guard
from mock_upstream.ledger.ledger import Account, Ledger
from mock_upstream.profiles.merge_patch import merged
from mock_upstream.profiles.profile import Profile, describe, describe_all
from mock_upstream.timing.deadlines import EXACT

OnLoop = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function on the event loop of the mock and gives its result."""

_LONGEST_ERROR = 4000  # characters


class Controlled(Protocol):
    """What the control API needs of a mock; all of it on the mock's own loop."""

    @property
    def profile(self) -> Profile: ...

    @property
    def version(self) -> int: ...

    def play(self, profile: Profile) -> int: ...

    def change(self, profile: Profile) -> int: ...

    def reset(self) -> int: ...

    def start_timeline(self) -> None: ...

    def stop_timeline(self) -> None: ...

    @property
    def phase(self) -> str | None: ...

    def read(
        self, reset_peak: bool = False, recent_peak: bool = False
    ) -> Callable[[], Account]: ...


class Health(BaseModel):
    ok: bool
    epoch: str
    """Names this process; another one means that the mock was restarted."""
    timers: str


class Version(BaseModel):
    version: int
    """Of the profile that is played; grows when another takes its place."""


class ResetResult(BaseModel):
    generation: int
    """Counts the resets, from 1 for none."""
    dropped: int
    """Replies that were pending; their clients see a closed connection."""


class CurrentPhase(BaseModel):
    phase: str
    """Of the timeline, now."""


class Problem(BaseModel):
    error: str


def _problems(**more: str) -> dict[int | str, dict[str, Any]]:
    meanings = {
        "400": "The request cannot be read",
        "401": "The token is missing or wrong",
        "403": "Asked by a page of another origin, or under another name",
        "408": "The request did not come in time",
        **more,
    }
    return {
        int(status): {"model": Problem, "description": meaning}
        for status, meaning in meanings.items()
    }


_NO_INPUT = _problems()
_INPUT = _problems(**{"422": "The request says something that cannot be"})
_TIMELINE = _problems(**{"409": "The profile has no timeline"})
_WRITE = _problems(
    **{
        "412": "Another profile is played than If-Match has",
        "413": f"The body is longer than {MOST_BYTES} bytes",
        "415": "The body is no JSON",
        "422": "The profile cannot be played; the one before stays",
    }
)
_ETAG: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {"ETag": {"description": "The profile's version.", "schema": {"type": "string"}}}
    }
}

# Checked by ourselves, with what is played already, but documented as what it is.
_PROFILE = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Profile"}}},
    }
}

IfMatch = Annotated[
    str | None,
    Header(description="The ETag of the profile to be replaced; without it, whichever it is."),
]

Owner = Annotated[str, Header(include_in_schema=False)]


class _Routes:
    """
    What the API answers. Whatever is read or written goes through `on_loop`: between two requests,
    so that all of it fits together.
    """

    def __init__(
        self, mock: Controlled, ledger: Ledger, on_loop: OnLoop, owner: str | None
    ) -> None:
        self._mock = mock
        self._ledger = ledger
        self._on_loop = on_loop
        self._owner = owner
        self._writing = asyncio.Lock()  # so that a change of a value reads and writes one profile

    async def health(self) -> Health:
        """Whether it runs, and since when it is the same."""
        timers = "timerfd" if EXACT else "event loop"
        return Health(ok=True, epoch=self._ledger.epoch, timers=timers)

    async def read_ledger(self, reset_peak: bool = False, recent_peak: bool = False) -> Account:
        """
        What the mock did; `reset_peak` lets the peaks start again from now. `recent_peak` gives
        the peak in flight since the last reading with it, and leaves it as it is for all others.
        """
        read: Callable[[], Account] = await self._on_loop(
            lambda: self._mock.read(reset_peak, recent_peak)
        )
        return read()  # here, where no answer of the mock waits for it

    async def read_metrics(self) -> Response:
        """The ledger for Prometheus."""
        content = metrics.render(await self.read_ledger())
        return Response(content, headers={"content-type": metrics.CONTENT_TYPE})

    async def read_profile(self, response: Response) -> Profile:
        """What is played."""
        profile, version = await self._played()
        response.headers["etag"] = self._etag(version)
        return profile

    async def replace_profile(
        self,
        values: dict[str, JsonValue],
        response: Response,
        if_match: IfMatch = None,
        x_mock_owner: Owner = "",
    ) -> Version:
        """Play another profile from the next request on; draws begin again."""
        async with self._writing:
            profile, version = await self._played()
            values.setdefault("tls", profile.tls)
            context = {"folder": Path()} if self._owns(x_mock_owner) else profile.known
            checked = await _validated(values, context)
            return await self._play(self._mock.play, checked, if_match, version, response)

    async def change_profile(
        self,
        patch: Annotated[dict[str, JsonValue], Body(media_type="application/merge-patch+json")],
        response: Response,
        if_match: IfMatch = None,
        x_mock_owner: Owner = "",
    ) -> Version:
        """
        Change single values by a JSON merge patch (RFC 7396): null takes a value away. Draws, the
        counts of faults and the timeline go on.
        """
        async with self._writing:
            profile, version = await self._played()
            values = merged(profile.model_dump(mode="json"), patch)
            folder = {"folder": Path()} if self._owns(x_mock_owner) else {}
            checked = await _validated(values, {**profile.known, **folder})
            return await self._play(self._mock.change, checked, if_match, version, response)

    async def start_timeline(self) -> CurrentPhase:
        """Let the timeline begin now, or begin again."""
        return await self._turn(self._mock.start_timeline)

    async def stop_timeline(self) -> CurrentPhase:
        """Back to before its start."""
        return await self._turn(self._mock.stop_timeline)

    async def reset(self) -> ResetResult:
        """Drop the replies that are pending, and let draws and ledger begin again."""
        dropped, generation = await self._on_loop(
            lambda: (self._mock.reset(), self._ledger.generation)
        )
        return ResetResult(dropped=dropped, generation=generation)

    def _etag(self, version: int) -> str:
        return f'"{self._ledger.epoch[:12]}-{version}"'

    def _owns(self, told: str) -> bool:
        return self._owner is not None and compare_digest(told.encode(), self._owner.encode())

    async def _played(self) -> tuple[Profile, int]:
        pair: tuple[Profile, int] = await self._on_loop(
            lambda: (self._mock.profile, self._mock.version)
        )
        return pair

    async def _play(
        self,
        how: Callable[[Profile], int],
        profile: Profile,
        if_match: str | None,
        before: int,
        response: Response,
    ) -> Version:
        tags = [tag.strip() for tag in (if_match or "*").split(",")]
        if tags != ["*"] and self._etag(before) not in tags:
            raise HTTPException(412, f"{self._etag(before)} is played, not {if_match:.100}")
        if profile.tls != self._mock.profile.tls:
            now = "HTTPS" if self._mock.profile.tls else "HTTP"
            raise HTTPException(422, f"tls: the mock was started with {now} and keeps to that")
        version: int = await self._on_loop(lambda: how(profile))
        response.headers["etag"] = self._etag(version)
        return Version(version=version)

    async def _turn(self, how: Callable[[], None]) -> CurrentPhase:
        def turned() -> str | None:
            if self._mock.profile.timeline is None:
                return None
            how()
            return self._mock.phase

        phase: str | None = await self._on_loop(turned)
        if phase is None:
            raise HTTPException(409, "the profile has no timeline")
        return CurrentPhase(phase=phase)


def create_app(
    mock: Controlled,
    ledger: Ledger,
    on_loop: OnLoop,
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    owner: str | None = None,
) -> FastAPI:
    """
    Return the ASGI app of the API.

    Args:
        host: where it will listen.
        token: what requests must carry; needed where `host` is not a loopback address.
        owner: who sends it as X-Mock-Owner may name files in a profile. None: nobody may.

    Raises:
        ValueError: no token, although other machines can ask.
    """
    app = FastAPI(
        title="mock_upstream control",
        # Their pages load scripts of another host into the origin that may change the mock.
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            StarletteHTTPException: _http_error,
            RequestValidationError: _invalid,
        },
    )
    app.add_middleware(Guard, host=host, token=token)
    routes = _Routes(mock, ledger, on_loop, owner)
    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    app.get("/health", responses=_NO_INPUT)(routes.health)
    app.get("/ledger", responses=_INPUT)(routes.read_ledger)
    app.get("/metrics", response_class=Response, responses=_NO_INPUT | text)(routes.read_metrics)
    app.get("/profile", responses=_NO_INPUT | _ETAG)(routes.read_profile)
    app.put("/profile", responses=_WRITE | _ETAG, openapi_extra=_PROFILE)(routes.replace_profile)
    app.patch("/profile", responses=_WRITE | _ETAG)(routes.change_profile)
    app.post("/timeline/start", responses=_TIMELINE)(routes.start_timeline)
    app.post("/timeline/stop", responses=_TIMELINE)(routes.stop_timeline)
    app.post("/reset", responses=_NO_INPUT)(routes.reset)
    return app


async def _validated(values: dict[str, JsonValue], context: dict[str, Any]) -> Profile:
    """
    The validated profile, made in a thread: a timeline takes a while, in which others may ask.

    Nobody reads files of this machine from afar; recordings that are played can be kept.
    """
    try:
        return await asyncio.to_thread(Profile.model_validate, values, context=context)
    except ValidationError as error:
        raise HTTPException(422, _short(describe(error, values))) from None


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # Starlette knows only the methods of the path's first route.
        path = request.scope["path"]  # `url` decodes the query, too
        routes = (route for route in request.app.routes if getattr(route, "path", None) == path)
        headers["allow"] = ", ".join(
            sorted({method for route in routes for method in route.methods})
        )
    return JSONResponse({"error": error.detail}, error.status_code, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        # Of a body, the places are those in the profile.
        {**problem, "loc": problem["loc"][problem["loc"][0] == "body" :]}
        for problem in error.errors()
    ]
    body = error.body if isinstance(error.body, dict) else {}
    values = {**body, "query": dict(request.query_params)}
    return JSONResponse({"error": _short(describe_all(problems, values))}, 422)


def _short(text: str) -> str:
    """A profile with one mistake can have it a thousand times."""
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]} ..."
