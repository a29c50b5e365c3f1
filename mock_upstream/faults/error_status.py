"""A whole answer that says that something failed."""

from http import HTTPStatus
from json import dumps
from typing import Annotated

from pydantic import Field

from mock_upstream.bodies import frame
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault


class ErrorStatus(Fault):
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds, as a Retry-After header; without it there is no such header."""

    async def play(self, exchange: Exchange, answer: Answer) -> None:
        answer.status = self.status
        answer.body = dumps({"error": _phrase(self.status), "status": self.status}).encode()
        answer.headers = [
            *((name, value) for name, value in answer.headers if name != b"content-type"),
            (b"content-type", b"application/json"),
        ]
        if self.retry_after is not None:
            answer.headers.append((b"retry-after", b"%d" % self.retry_after))
        frame(answer, "content-length")
        await exchange.start(answer.status, answer.headers)
        await exchange.body(answer.body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
