"""No answer ever: a deadlock, a lost packet behind a proxy that does not care."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.exchange import Exchange, Reply
from mock_upstream.units.durations import PositiveDuration


class Hang(Fault):
    longest: PositiveDuration = 600.0
    """After that the connection is closed."""

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await aborts.hang(exchange, self.longest)
