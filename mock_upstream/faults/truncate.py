"""The connection is closed in good order before the body has ended."""

from mock_upstream import endings
from mock_upstream.bodies import Framing, Share, frame, send_share
from mock_upstream.exchange import Answer, Exchange
from mock_upstream.faults import Fault


class Truncate(Fault):
    share: Share = 0.5
    framing: Framing = "content-length"
    """`content-length`: fewer bytes than promised. `chunked`: the last chunk is missing."""

    async def play(self, exchange: Exchange, answer: Answer) -> None:
        frame(answer, self.framing)
        await send_share(exchange, answer, self.share)
        await endings.close(exchange)
