"""
One request to a service, as a plan has it, and what came back.

It is sent by this process, which loads nothing of Locust, and as the load generator sends it: the
same target, headers and body. Redirects are followed where the request says so, within the service.
"""

import http.client
import ssl
import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import perf_counter
from urllib.parse import urlsplit

import brotli

from loadtests import tls
from loadtests.plans import placeholders
from loadtests.processes import connection_errors
from loadtests.recording import redirects, request_heads
from loadtests.recording.messages import RequestSpec

_MOST = 1 << 20  # bytes of a body that are kept
_PART = 1 << 16


@dataclass(frozen=True, slots=True)
class PingReply:
    """
    What came back. `status` is None where no answer came; `error` says what went wrong, also where
    an answer broke off.

    `first_byte` and `seconds`: from the sending to the head of the answer, and to its end.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""
    """Its first MiB, or what was asked for, without its content coding."""
    size: int = 0
    """Bytes of the whole body, as they came."""
    first_byte: float | None = None
    seconds: float = 0.0
    error: str | None = None
    timed_out: bool = False
    arrived: bool = False
    """The whole request was sent, over a connection that the service accepted."""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def send(
    target: str,
    spec: RequestSpec,
    timeout: float,
    context: ssl.SSLContext | None = None,
    keep: int = _MOST,
) -> PingReply:
    """
    Send the request to the deployment at `target` and wait for the whole answer.

    Args:
        timeout: seconds for each of its exchanges, which are several where redirects are followed.
        context: of TLS; None: as the environment says.
        keep: bytes of the body.

    Raises:
        PlanError: what a placeholder stands for is not there any more.
    """
    spec = placeholders.filled_request(spec)
    begun, reply = perf_counter(), _exchanged(target, spec, timeout, context, keep)
    for _ in range(redirects.MOST if spec.follow else 0):
        onward = _onward(target, spec, reply)
        if onward is None:
            break
        spec, before = onward, perf_counter() - begun
        reply = _exchanged(target, spec, timeout, context, keep)
        first = None if reply.first_byte is None else before + reply.first_byte
        reply = replace(reply, first_byte=first, seconds=before + reply.seconds)
    return reply


def _onward(target: str, spec: RequestSpec, reply: PingReply) -> RequestSpec | None:
    """The request that a redirect within the service asks for; None: the answer asks for none."""
    place, status = reply.headers.get("location"), reply.status or 0
    if not place or not 300 <= status < 400:
        return None
    return redirects.onward(spec, target, status, place)


def _exchanged(
    target: str, spec: RequestSpec, timeout: float, context: ssl.SSLContext | None, keep: int
) -> PingReply:
    """One request and its answer."""
    begun = perf_counter()
    deadline = begun + timeout
    connection = tls.connection(target, timeout, context or tls.context(None, None))
    status, headers, first = None, dict[str, str](), None
    kept, size = bytearray(), 0
    error: str | None = None
    late = arrived = False
    try:
        _request(connection, target, spec)
        arrived = True
        response = connection.getresponse()
        first = perf_counter() - begun
        status = response.status
        headers = {name.lower(): value for name, value in response.getheaders()}
        while True:
            left = deadline - perf_counter()
            if left <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = response.read1(_PART)
            if not part:
                break
            size += len(part)
            kept += part[: keep - len(kept)]
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
    except TimeoutError:
        error, late = f"no complete answer in {timeout:.3g} s", True
    except (OSError, http.client.HTTPException, ValueError) as failure:
        error = connection_errors.described(failure)
    finally:
        connection.close()
    body = _decoded(bytes(kept), headers.get("content-encoding", ""), keep)
    return PingReply(
        status, headers, body, size, first, perf_counter() - begun, error, late, arrived
    )


def _request(connection: http.client.HTTPConnection, target: str, spec: RequestSpec) -> None:
    parts = urlsplit(target)
    body = (spec.body or "").encode()
    path = request_heads.target(parts.path.rstrip("/"), spec.path)
    connection.putrequest(spec.method, path, skip_host=True, skip_accept_encoding=True)
    authority = parts.netloc.rpartition("@")[2].encode("idna").decode("ascii")
    for name, value in request_heads.fields(spec.method, spec.headers, body, authority):
        connection.putheader(name, value.encode())
    connection.endheaders(body)


def _decoded(body: bytes, coding: str, most: int) -> bytes:
    """The body without its coding, as far as it can be undone."""
    with suppress(zlib.error, brotli.error):
        match coding.strip().lower():
            case "gzip" | "x-gzip":
                return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, most)
            case "deflate":
                return zlib.decompressobj().decompress(body, most)
            case "br":
                return bytes(brotli.Decompressor().process(body, output_buffer_limit=most))
    return body
