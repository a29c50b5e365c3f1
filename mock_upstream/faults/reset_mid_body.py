"""The connection is reset in the middle of the body: a crash while answering."""

from mock_upstream import endings
from mock_upstream.bodies import Share, send_share
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault


class ResetMidBody(Fault):
    share: Share = 0.5

    async def play(self, exchange: Exchange, answer: Answer) -> None:
        await send_share(exchange, answer, self.share)
        await endings.reset(exchange)
