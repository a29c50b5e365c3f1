"""The connection is reset instead of an answer: a crashed process, a firewall."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.exchange import Exchange, Reply


class Reset(Fault):
    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await aborts.reset(exchange)
