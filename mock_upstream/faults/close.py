"""The connection is closed without an answer, in good order: a server that shuts down."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.exchange import Exchange, Reply


class Close(Fault):
    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await aborts.close(exchange)
