"""What an answer's body is, and how it is sent: its size, its framing, its pace."""

from dataclasses import dataclass
from hashlib import shake_128
from math import ceil
from string import ascii_letters, digits
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from mock_upstream.units.durations import PositiveDuration
from mock_upstream.units.sizes import Bandwidth, SizeText
from mock_upstream.units.tables import StrictTable

if TYPE_CHECKING:  # a profile is checked without what it takes to play it
    from mock_upstream.responses.exchange import Exchange, Reply

Framing = Literal["content-length", "chunked"]
Share = Annotated[float, Field(ge=0, lt=1)]
"""The part of a body that is sent before something happens."""

_PIECE = 65536  # bytes; what is written at once, and so what a slow reader costs in memory
_TICK = 0.01  # seconds; pieces of a paced body come as often where nothing else is said
_BODILESS = {204, 304}  # RFC 9110, 15.3.5 and 15.4.5
_LENGTH = b"content-length"
_JSON = (b"content-type", b"application/json")
_OPAQUE = (b"content-type", b"application/octet-stream")


class Body(StrictTable):
    """
    How long the body is and in what time it comes.

    The delay of a profile is over when the answer begins, unless `first_byte` says how much of
    it that takes. A body's time is the rest of the delay, or what its bandwidth asks, or
    (chunks - 1) intervals; without any of them, as fast as the client reads.
    """

    size: SizeText | None = None
    """None: the route's own body as it is."""
    kind: Literal["json", "bytes"] = "json"
    """`json`: the route's own, padded to the size, and never cut. `bytes`: noise."""
    framing: Framing = "content-length"
    first_byte: Annotated[float, Field(ge=0, le=1)] | None = None
    """The part of the delay after which the answer begins; its last byte is due at the end."""
    bandwidth: Bandwidth | None = None
    chunks: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """A number of pieces, evenly over the body's time; those above 64 KiB are sent as several."""
    interval: PositiveDuration | None = None
    """From one piece to the next; with a body's time given otherwise: the longest."""

    @model_validator(mode="after")
    def _has_one_time(self) -> Self:
        several = [name for name in ("first_byte", "bandwidth") if getattr(self, name) is not None]
        if self.chunks is not None and self.interval is not None:
            several.append("chunks with interval")
        if len(several) > 1:
            raise ValueError(f"the body's time is given twice, by {' and by '.join(several)}")
        if self.interval is not None and not several:
            raise ValueError("interval alone gives no time; add chunks, bandwidth or first_byte")
        return self

    def begins(self, arrival: float, due: float) -> float:
        """When the answer begins, if all of it is `due`; monotonic seconds, as they are."""
        return due if self.first_byte is None else arrival + self.first_byte * (due - arrival)

    def fill(self, answer: "Reply", u: float) -> None:
        """Gives the answer the body, and the headers that go with it; 0 < u < 1."""
        if self.size is not None and answer.status not in _BODILESS:
            length = self.size.quantile(u)
            if self.kind == "json":
                answer.body = _pad(answer.body[:], length)
            else:
                answer.body = Padded(b"", length, b"", _NOISE)
                answer.headers = [_OPAQUE if pair == _JSON else pair for pair in answer.headers]
        frame(answer, self.framing)

    def seconds(self, length: int, rest: float) -> float:
        """The body's time from its first piece to its last, where `rest` of the delay is left."""
        if self.first_byte is not None:
            return max(rest, 0.0)
        if self.bandwidth is not None:
            return length / self.bandwidth
        if self.chunks is not None and self.interval is not None:
            return (self.chunks - 1) * self.interval
        return 0.0

    def pieces(self, length: int, seconds: float) -> int:
        """The number of pieces in which the body comes; none of them is empty."""
        if self.chunks is not None:
            count = self.chunks
        elif self.interval is not None:
            count = ceil(seconds / self.interval) + 1
        else:
            count = ceil(seconds / _TICK)
        return max(min(count, length), 1)


async def send(exchange: "Exchange", answer: "Reply", body: Body, due: float) -> None:
    """
    The answer, its head now and its body in its time, unless the client goes away.

    The first piece goes at once and the last at the end of the body's time: exactly then,
    however late those before it were.
    """
    begin = monotonic()
    await exchange.start(answer.status, answer.headers)
    length = len(answer.body) if has_body(exchange, answer) else 0
    if not length:  # for the client it ends with its head, and the connection is free
        await exchange.body(b"")
        return
    seconds = body.seconds(length, due - begin)
    count = body.pieces(length, seconds)
    for number in range(count):
        when = begin + seconds * (number / (count - 1) if count > 1 else 1)
        if when > monotonic() and not await exchange.until(when):
            return
        stop = length * (number + 1) // count
        if not await write(exchange, answer, length * number // count, stop, last=stop == length):
            return


async def write(
    exchange: "Exchange", answer: "Reply", start: int, stop: int, *, last: bool = False
) -> bool:
    """
    The bytes from start to stop of the body, as fast as the client reads them.

    Never more than two pieces of 64 KiB are held for it. False: it went away.
    """
    for at in range(start, max(stop, start + 1), _PIECE):
        end = min(at + _PIECE, stop)
        await exchange.body(answer.body[at:end], more=not last or end < stop)
        if exchange.connection.lost:
            return False
    return True


async def send_share(exchange: "Exchange", answer: "Reply", share: float) -> bool:
    """
    The head and so much of the body, at least a byte short of it.

    False: nothing was sent, because there is no body to break, or the client went away.
    """
    if not has_body(exchange, answer):
        return False
    await exchange.start(answer.status, answer.headers)
    length = len(answer.body)
    return await write(exchange, answer, 0, min(int(length * share), length - 1))


def has_body(exchange: "Exchange", answer: "Reply") -> bool:
    """Whether any byte of the body is sent at all."""
    return exchange.method != "HEAD" and answer.status not in _BODILESS and len(answer.body) > 0


def frame(answer: "Reply", framing: Framing) -> None:
    """Makes the headers say how the body ends; uvicorn adds those of `chunked` itself."""
    answer.headers = [pair for pair in answer.headers if pair[0] != _LENGTH]
    if framing == "content-length" and answer.status not in _BODILESS:
        answer.headers.append((_LENGTH, b"%d" % len(answer.body)))


@dataclass(frozen=True, slots=True)
class Padded:
    """Bytes between a head and a tail, as many as there must be, made only when asked for."""

    head: bytes
    filling: int
    tail: bytes
    noise: bytes
    """Repeated as often as it takes."""

    def __len__(self) -> int:
        return len(self.head) + self.filling + len(self.tail)

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(len(self))
        noise, before = self.noise, len(self.head)
        after = before + self.filling
        low, high = max(start, before) - before, min(stop, after) - before
        middle = b""
        if low < high:
            skipped = low % len(noise)
            times = -(-(skipped + high - low) // len(noise))
            middle = (noise * times)[skipped : skipped + high - low]
        tail = self.tail[max(start - after, 0) : max(stop - after, 0)]
        return self.head[start:stop] + middle + tail


# Longer than the window of deflate, which can thus not tell that it repeats.
_NOISE = shake_128(b"mock_upstream").digest(_PIECE)
_LETTERS = _NOISE.translate((ascii_letters + digits + "-_").encode() * 4)
_BLANKS = b" " * _PIECE


def _pad(text: bytes, length: int) -> "Padded":
    """
    The JSON padded to `size` bytes, or unchanged if it is longer.

    An object gets another member, `padding`; anything else, and an object with no room for
    one, blanks.
    """
    if text.startswith(b"{") and text.endswith(b"}"):
        comma = b", " if text[1:-1].strip() else b""
        head, tail = text[:-1] + comma + b'"padding": "', b'"}'
        if len(head) + len(tail) <= length:
            return Padded(head, length - len(head) - len(tail), tail, _LETTERS)
    return Padded(text, max(length - len(text), 0), b"", _BLANKS)
