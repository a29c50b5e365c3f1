"""The connection is reset instead of an answer: a crashed process, a firewall."""

from mock_upstream import endings
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault


class Reset(Fault):
    async def play(self, exchange: Exchange, answer: Answer) -> None:
        await endings.reset(exchange)
