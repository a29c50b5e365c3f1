"""No answer ever: a deadlock, a lost packet behind a proxy that does not care."""

from mock_upstream import endings
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault
from mock_upstream.fields import PositiveDuration


class Hang(Fault):
    longest: PositiveDuration = 600.0
    """After that the connection is closed."""

    async def play(self, exchange: Exchange, answer: Answer) -> None:
        await endings.hang(exchange, self.longest)
