"""A kept connection is closed as the next request arrives: the race of every connection pool."""

from typing import ClassVar, Literal

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.exchange import Exchange, Reply


class CloseOnReuse(Fault):
    at: ClassVar[Literal["arrival", "due"]] = "arrival"

    on_reuse: Literal[True] = True

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await aborts.close(exchange)
