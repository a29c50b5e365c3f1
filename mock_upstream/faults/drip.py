"""The whole answer, a few bytes at a time."""

from time import monotonic

from mock_upstream.faults import Fault
from mock_upstream.responses import aborts
from mock_upstream.responses.bodies import has_body, write
from mock_upstream.responses.exchange import Exchange, Reply
from mock_upstream.units.durations import PositiveDuration
from mock_upstream.units.sizes import PositiveBytes


class Drip(Fault):
    piece: PositiveBytes = 1
    interval: PositiveDuration = 0.1
    longest: PositiveDuration = 600.0
    """After that the connection is closed, wherever the answer is."""

    async def play(self, exchange: Exchange, answer: Reply) -> None:
        await exchange.start(answer.status, answer.headers)
        length = len(answer.body) if has_body(exchange, answer) else 0
        begin = monotonic()
        for number, start in enumerate(range(0, max(length, 1), self.piece)):
            wait = number * self.interval
            if wait > self.longest:
                await aborts.drop(exchange)
                return
            if number and not await exchange.until(begin + wait):
                return
            stop = min(start + self.piece, length)
            if not await write(exchange, answer, start, stop, last=stop == length):
                return
