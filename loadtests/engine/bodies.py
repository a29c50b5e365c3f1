"""Bodies as they come: decompressed by their content coding, and searched or kept."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import brotli

from loadtests.engine.failures import RequestFailed

_MOST = 1 << 20  # bytes that are decompressed at a time
_LONGEST = 1 << 28  # bytes to which a body may be decompressed: a quarter of a second's work
_PLAIN = (b"", b"identity")

Decoder = Callable[[bytes], Iterator[bytes]]
"""From the next bytes of a body to what they were before the coding, in parts of bounded length."""


class Text:
    """
    Whether a body holds some bytes. What was read is not kept.

    Args:
        wanted: what it should hold.
        coding: asked when the body begins; the values of `content-encoding`.
    """

    def __init__(self, wanted: bytes, coding: Callable[[], list[bytes]]) -> None:
        self._wanted, self._coding = wanted, coding
        self._decoder: Decoder | None = None
        self._tail = b""
        self.found = not wanted

    def feed(self, body: bytes) -> None:
        """
        Take the next bytes.

        Raises:
            RequestFailed: the body is not coded as its head says, or is a decompression bomb.
        """
        if self.found:
            return
        if self._decoder is None:
            self._decoder = decoder(self._coding())
        for part in self._decoder(body):
            seen = self._tail + part
            if self._wanted in seen:
                self.found = True
                return
            self._tail = seen[max(len(seen) - len(self._wanted) + 1, 0) :]


def decoder(codings: list[bytes]) -> Decoder:
    """
    What undoes the content coding of one body; what it makes raises RequestFailed, too.

    Args:
        codings: the values of `content-encoding`.

    Raises:
        RequestFailed: nobody asked for this coding.
    """
    coding = b",".join(codings).strip().lower()
    if coding in _PLAIN:
        return lambda body: iter((body,))
    if coding in (b"gzip", b"x-gzip"):
        return _guarded(_inflating(zlib.decompressobj(zlib.MAX_WBITS | 16)))
    if coding == b"deflate":
        return _guarded(_inflating(zlib.decompressobj()))
    if coding == b"br":
        return _guarded(_unbrotli(brotli.Decompressor()))
    raise _invalid(f"its body is coded as {coding.decode('latin-1')!r:.40}, not as asked")


def _inflating(decompressor: Any) -> Decoder:
    def parts(body: bytes) -> Iterator[bytes]:
        while body:
            yield decompressor.decompress(body, _MOST)
            body = decompressor.unconsumed_tail

    return parts


def _unbrotli(decompressor: Any) -> Decoder:
    def parts(body: bytes) -> Iterator[bytes]:
        yield decompressor.process(body, output_buffer_limit=_MOST)
        while not decompressor.can_accept_more_data():
            yield decompressor.process(b"", output_buffer_limit=_MOST)

    return parts


def _guarded(parts: Decoder) -> Decoder:
    """Fail by name, and before a decompression bomb takes all time and memory."""
    made = 0

    def checked(body: bytes) -> Iterator[bytes]:
        nonlocal made
        try:
            for part in parts(body):
                made += len(part)
                if made > _LONGEST:
                    raise _invalid(f"its body decompresses to more than {_LONGEST >> 20} MB")
                yield part
        except (zlib.error, brotli.error) as error:
            raise _invalid(f"its body cannot be decompressed: {error}") from None

    return checked


def _invalid(what: str) -> RequestFailed:
    return RequestFailed("invalid answer", f"invalid answer: {what}")
