"""The connection is reset in the middle of the body: a crash while answering."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import Share, send_share
from mock_upstream.responses.exchange import Exchange, Reply


class ResetMidBody(Fault):
    share: Share = 0.5

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await send_share(exchange, answer, self.share)
        await aborts.reset(exchange)
