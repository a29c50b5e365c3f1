"""A whole answer that says that something failed."""

from typing import Annotated

from pydantic import Field

from mock_upstream.faults import Fault
from mock_upstream.responses.exchange import Exchange, Reply, error_answer


class ErrorStatus(Fault):
    status: Annotated[int, Field(ge=400, le=599)] = 503
    retry_after: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds, as a Retry-After header; without it there is no such header."""

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        own, body = error_answer(self.status)
        names = {name for name, _ in own}
        headers = [header for header in answer.headers if header[0] not in names] + own
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        await exchange.answer(Reply(self.status, headers, body))
