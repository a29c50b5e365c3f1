"""The connection is closed without an answer, in good order: a server that shuts down."""

from mock_upstream import endings
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault


class Close(Fault):
    async def play(self, exchange: Exchange, answer: Answer) -> None:
        await endings.close(exchange)
