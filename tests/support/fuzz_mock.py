"""The mock's two doors as targets of the fuzzer: its control API, and its side of a connection."""

import asyncio
import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from hypothesis import strategies as st
from uvicorn.server import ServerState

from mock_upstream import overrides
from mock_upstream.control.api import create_app
from mock_upstream.ledger.ledger import Ledger
from mock_upstream.mock import Mock
from mock_upstream.profiles.profile import Profile
from mock_upstream.protocol import MockProtocol
from mock_upstream.timing.deadlines import Deadlines
from tests.support.fuzz_inputs import (
    LATENCIES,
    PROFILE,
    SIZES,
    as_json,
    encoded,
    holds,
    keys_of,
    refused,
    tables,
)
from tests.support.fuzzing import Target, Unfit, check_message
from tests.support.mutator import ODDITIES


def control() -> Target:
    """The control API of the mock: a request as `METHOD TARGET`, headers, an empty line, a body."""
    loop = asyncio.new_event_loop()

    async def started() -> Any:
        ledger = Ledger()
        mock = Mock(Profile(), ledger, Deadlines())

        async def on_loop(function: Callable[[], Any]) -> Any:
            return function()

        return create_app(mock, ledger, on_loop)

    app = loop.run_until_complete(started())

    def play(data: bytes) -> bool:
        head, _, body = data.partition(b"\n\n")
        first, *others = head.split(b"\n")
        method, _, target = first.partition(b" ")
        path, _, query = target.partition(b"?")
        headers = [
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(b":") for line in others)
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method.decode("latin-1").upper(),
            "path": path.decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "root_path": "",
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        status, answer = loop.run_until_complete(_asked(app, scope, body))
        holds(100 <= status < 500, f"it is answered {status}")
        if status >= 400 and scope["method"] != "HEAD":
            check_message(json.loads(answer)["error"])
        return status < 400

    def asking(how: str, body: Any = None, more: str = "") -> bytes:
        return encoded(f"{how}\nhost: 127.0.0.1:80\ncontent-type: application/json{more}\n\n") + (
            b"" if body is None else as_json(body)
        )

    corpus = [
        asking("PUT /profile", PROFILE),
        asking("PUT /profile", {"latency": "1ms"}, "\nif-match: *"),
        asking("PATCH /profile", {"latency": "2ms", "errors": None}),
        asking("PATCH /profile", {"timeline": None, "caps": {"delay": "10s"}}),
        asking("GET /ledger?reset_peak=true&recent_peak=1"),
        *(asking(f"GET /{name}") for name in ("health", "metrics", "profile", "openapi.json")),
        asking("POST /reset"),
        asking("PUT /profile", PROFILE),
        asking("POST /timeline/start"),
        asking("POST /timeline/stop"),
    ]
    made = st.tuples(st.sampled_from(["PUT", "PATCH"]), tables(keys_of(PROFILE)))
    strategy = made.map(lambda pair: asking(f"{pair[0]} /profile", pair[1]))
    words = [*keys_of(PROFILE), "host:", "origin:", "if-match:", "PUT", "PATCH", "POST", "/profile"]
    return Target(play, corpus, strategy, words)


async def _asked(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    sent: list[Any] = []
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return rest.pop() if rest else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def requests() -> Target:
    """The mock's side of a connection: bytes in, answers out; and what a request may ask for."""
    loop = asyncio.new_event_loop()
    wrong: list[str] = []
    loop.set_exception_handler(lambda _, context: wrong.append(_said(context)))

    class Complaints(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                wrong.append(repr(record.exc_info[1]))

    values = {
        "latency": "0ms",
        "capacity": PROFILE["capacity"],
        "limits": [{"kind": "fixed_window", "limit": 10**9, "per": "1s", "key": "header:X-Client"}],
        "routes": [*cast("list[Any]", PROFILE["routes"]), {"path": "/", "json": {"ok": True}}],
        "faults": [{"fault": "truncate", "every": 50}],
        "caps": {"delay": "10s", "body": "100MB"},
    }

    async def started() -> tuple[uvicorn.Config, Ledger]:
        ledger = Ledger()
        mock = Mock(Profile.model_validate(values), ledger, Deadlines())
        config = uvicorn.Config(
            mock,
            http=cast("Any", partial(MockProtocol, ledger)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        return config, ledger

    config, ledger = loop.run_until_complete(started())
    logging.getLogger("uvicorn.error").addHandler(Complaints())
    logging.getLogger("uvicorn.error").propagate = False

    async def sent(data: bytes) -> bytes:
        transport = Wire()
        protocol = MockProtocol(
            ledger, config=config, server_state=ServerState(), app_state={}, _loop=loop
        )
        protocol.connection_made(cast("Any", transport))
        for start in range(0, len(data), 1 << 14):
            if not transport.is_closing():
                protocol.data_received(data[start : start + (1 << 14)])
        for _ in range(6):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        for _ in range(4):
            await asyncio.sleep(0)
        return bytes(transport.first)

    def play(data: bytes) -> bool:
        answer = loop.run_until_complete(sent(data))
        if wrong:
            what = wrong[0]
            wrong.clear()
            raise Unfit(what)
        asked = refused(overrides.OverrideError, lambda: overrides.parse([], data))
        return answer.startswith(b"HTTP/1.1 2") or asked is not None

    def asking(path: str = "/", more: str = "", method: str = "GET", body: str = "") -> bytes:
        return encoded(f"{method} {path} HTTP/1.1\r\nHost: mock\r\n{more}\r\n{body}")

    corpus = [
        asking(),
        asking(more="X-Mock-Latency: 0ms\r\nX-Mock-Key: order-17\r\nX-Client: me\r\n"),
        asking(more="X-Mock-Size: 10kB\r\nX-Mock-Status: 201\r\n"),
        asking("/?mock_status=200&mock_size=uniform(1kB,2kB)&mock_latency=0ms"),
        asking("/charge/7?page=2", "Content-Length: 2\r\n", "POST", "{}"),
        asking("/charge/7", "Transfer-Encoding: chunked\r\n", "POST", "2\r\n{}\r\n0\r\n\r\n"),
        asking() + asking(),
    ]
    words = "X-Mock-Latency: X-Mock-Status: X-Mock-Fault: X-Mock-Size: X-Mock-Key: mock_size= "
    words += "mock_fault= mock_latency= reset-mid-body drip hang close Content-Length: chunked "
    words += "Transfer-Encoding: Connection: Expect:100-continue HTTP/1.1 GET POST \r\n \r\n\r\n"
    named = words.split(" ")
    strategy = st.lists(st.sampled_from([*named, *LATENCIES, *SIZES, *ODDITIES]), max_size=8).map(
        lambda parts: asking(more="".join(f"{part}\r\n" for part in parts))
    )
    return Target(play, corpus, strategy | st.binary(max_size=200), named)


class Wire(asyncio.Transport):
    """A client that reads everything; the first bytes are kept."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.first = bytearray()
        self._closing = False

    def write(self, data: Any) -> None:
        self.first += bytes(data[: max(200 - len(self.first), 0)])

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _said(context: dict[str, Any]) -> str:
    return repr(context.get("exception") or context["message"])
