"""An ASGI middleware: which requests to the control API are answered, and their largest size."""

import asyncio
import json
from email.message import Message as MimeMessage
from hmac import compare_digest
from ipaddress import ip_address
from math import isfinite
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1_000_000
DEEPEST = 32
TIMEOUT = 10.0  # seconds for a whole request to come

_LARGEST_NUMBER = 2**63


class Refused(Exception):
    """A request that goes no further; the message is for its sender."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Guard:
    """
    Lets through what comes from this machine, or with the token, and holds reasonable JSON.

    Pages in a browser may not ask, whatever machine they think they talk to: neither from
    another origin, nor under a name that was made to point here (DNS rebinding).

    Args:
        host: the address that the API listens on.
        token: what a request must carry as `Authorization: Bearer TOKEN`; None: nothing.

    Raises:
        ValueError: no token, although other machines can ask.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        check(host, token)
        self._app = app
        self._token = None if token is None else token.encode()
        self._hosts = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            headers = _single(scope["headers"])
            self._check_sender(headers)
            body = await _body(headers, receive)
            if body is None:
                return None
            if body:
                check_json(body)
        except Refused as refusal:
            return await _refuse(refusal, send)
        return await self._app(scope, _replayed(body, receive), send)

    def _check_sender(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if self._token is None and _name(host) not in self._hosts:
            raise Refused(403, f"the control API is not called {host!r:.100}; ask 127.0.0.1")
        if origin and origin not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, f"a page of {origin!r:.100} may not ask the control API")
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            raise Refused(403, "a page of another site may not ask the control API")
        if self._token is not None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if not compare_digest(given.strip(), self._token) or scheme.lower() != b"bearer":
                raise Refused(401, "the header 'Authorization: Bearer TOKEN' is needed")


def check(host: str, token: str | None) -> None:
    """
    Whether the control API may listen there.

    Raises:
        ValueError: it could be asked by anybody.
    """
    if token is None and not is_loopback(host):
        raise ValueError(
            f"the control API on {host} could be used by other machines; it needs a token"
        )
    if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
        raise ValueError("a token has one character at least, all of them printable ASCII")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_json(body: bytes) -> None:
    """
    Only what can be read, checked and written again without surprises.

    Raises:
        Refused: not JSON, or nested too deep, or with numbers or text that nothing can hold.
    """
    try:
        values = [json.loads(body, parse_constant=_no_number)]
        json.dumps(values, ensure_ascii=False).encode()
    except RecursionError:
        raise Refused(400, f"the JSON is nested deeper than {DEEPEST}") from None
    except UnicodeEncodeError:
        raise Refused(
            400, "the JSON has half of a surrogate pair, which is not a character"
        ) from None
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    for _ in range(DEEPEST + 1):
        if not values:
            return
        for value in values:
            if isinstance(value, float) and not isfinite(value):
                raise Refused(400, "the JSON has a number that is too large")
            if isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
                raise Refused(400, "the JSON has a number that is too large")
        values = [child for value in values for child in _children(value)]
    raise Refused(400, f"the JSON is nested deeper than {DEEPEST}")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _children(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _single(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    single: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in single and name in (b"host", b"origin", b"authorization", b"content-type"):
            raise Refused(400, f"the header {name.decode('latin-1')} is there twice")
        single[name] = value
    return single


def _name(host: str) -> str:
    """The host name without the port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


async def _body(headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
    """All of it; None if the client went away before."""
    length = headers.get(b"content-length", b"0")
    # A number that is too long to read is too large as well.
    if len(length) > 18 or (length.isdigit() and int(length) > MOST_BYTES):
        raise Refused(413, f"the body is longer than {MOST_BYTES} bytes")
    body = b""
    try:
        async with asyncio.timeout(TIMEOUT):
            parts, size, more = [], 0, True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > MOST_BYTES:
                    raise Refused(413, f"the body is longer than {MOST_BYTES} bytes")
                more = message.get("more_body", False)
            body = b"".join(parts)
    except TimeoutError:
        raise Refused(408, f"the request did not come within {TIMEOUT:g} s") from None
    if body and not _is_json(headers.get(b"content-type", b"")):
        raise Refused(415, "a body is JSON, and says so: 'Content-Type: application/json'")
    return body


def _is_json(content_type: bytes) -> bool:
    message = MimeMessage()
    message["content-type"] = content_type.decode("latin-1")
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return first.pop() if first else await receive()

    return replay


async def _refuse(refusal: Refused, send: Send) -> None:
    text = json.dumps({"error": str(refusal)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(text)),
        # The rest of the body may still be on its way.
        (b"connection", b"close"),
    ]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
