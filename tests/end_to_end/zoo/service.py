"""The shop of the zoo: eight orders at a time take 50 ms each, so its knee is 8 in flight.

`uvicorn tests.end_to_end.zoo.service:app`. Log-ins and /health take no time.
"""

import asyncio
import json
import secrets
from typing import Any

AT_A_TIME, TAKES = 8, 0.05  # requests; seconds
_desks: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}  # one for each server
_tokens: set[str] = set()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer one request."""
    if scope["type"] != "http":
        return
    path, headers = scope["path"], {name.decode(): text.decode() for name, text in scope["headers"]}
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if path in ("/", "/health"):
        await _answer(send, 200, {"ok": True})
    elif path == "/login":
        token = secrets.token_hex(8)
        _tokens.add(token)
        cookie = [(b"set-cookie", f"session={token}".encode())]
        await _answer(send, 200, {"token": token}, cookie)
    elif path == "/private" and not _is_known(headers):
        await _answer(send, 401, {"error": "log in first"})
    elif path == "/rpc":
        await _work()
        await _answer(send, 200, {"result": json.loads(body)["params"]})
    elif path == "/stream":
        await _work()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(4):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/missing":
        await _work()
        await _answer(send, 404, {"error": "no such thing"})
    else:
        await _work()
        await _answer(send, 200, {"path": path, "items": [1, 2, 3], "in_stock": True})


def _is_known(headers: dict[str, str]) -> bool:
    given = (headers.get("authorization", ""), headers.get("cookie", ""))
    return any(token in text for text in given for token in _tokens if text)


async def _work() -> None:
    async with _desks.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_A_TIME)):
        await asyncio.sleep(TAKES)


async def _answer(send: Any, status: int, content: Any, headers: Any = ()) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), *headers],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})
