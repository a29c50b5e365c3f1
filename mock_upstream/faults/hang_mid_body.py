"""The answer stops in the middle of its body, and the connection stays open."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import Share, send_share
from mock_upstream.responses.exchange import Exchange, Reply
from mock_upstream.units.durations import PositiveDuration


class HangMidBody(Fault):
    share: Share = 0.5
    longest: PositiveDuration = 600.0
    """After that the connection is closed."""

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await send_share(exchange, answer, self.share)
        await aborts.hang(exchange, self.longest)
