"""Bytes that are no chunk come in the middle of a chunked body: a proxy's bug."""

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import Share, frame, send_share
from mock_upstream.responses.exchange import Exchange, Reply


class MalformedChunk(Fault):
    share: Share = 0.5

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        frame(answer, "chunked")
        if await send_share(exchange, answer, self.share):
            # Past uvicorn, which would make a good chunk of it; nothing may be sent by it now.
            exchange.transport.write(b"what length?\r\n")
        await aborts.close(exchange)
