"""The connection is closed in good order before the body has ended."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import Framing, Share, frame, send_share
from mock_upstream.responses.exchange import Exchange, Reply


class Truncate(Fault):
    share: Share = 0.5
    framing: Framing = "content-length"
    """`content-length`: fewer bytes than promised. `chunked`: the last chunk is missing."""

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        frame(answer, self.framing)
        await send_share(exchange, answer, self.share)
        await aborts.close(exchange)
