"""An answer of HTTP/1.1 (RFC 9112), put together by llhttp from bytes as they come."""

from time import perf_counter
from typing import Protocol

import httptools

from loadtests.engine.failures import RequestFailed

LONGEST_HEAD = 65_536  # bytes of heads, interim ones included; also of what follows a body
_INTERIM = b"HTTP/1.1 1"
_END = b"\r\n\r\n"


class Sink(Protocol):
    """What takes a body as it comes."""

    def feed(self, body: bytes) -> None:
        """Take the next bytes. Raises RequestFailed when they are not what the head says."""


class AnswerParser:
    """
    The answers that come on one connection, one at a time; llhttp calls the methods `on_...`.

    `size` is in bytes of the body as it was sent, without the framing of chunks. Of a body nothing
    is kept. `headed_at` is when its head was complete (seconds, `perf_counter`).
    """

    __slots__ = ("_came", "_error", "_head", "_kept", "_parser", "_unframed", "bodiless", "done",
                 "headed", "headed_at", "sink", "size", "spoiled", "status")  # fmt: skip

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.spoiled = False  # bytes came that belong to no answer, or the stream has ended
        self.done = self.headed = self.bodiless = self._kept = False
        self.size = self._came = self._unframed = self.status = 0
        self.headed_at = 0.0
        self._head = b""
        self._error: RequestFailed | None = None
        self.sink: Sink | None = None

    def begin(self, bodiless: bool, sink: Sink | None) -> None:
        """
        Be ready for the next answer.

        Args:
            bodiless: it has no body, whatever its head says: that of a HEAD request.
            sink: what takes its body; None: nothing does.
        """
        self.done = self.headed = self._kept = False
        self.size = self._came = self._unframed = self.status = 0
        self._head = b""
        self.bodiless, self.sink = bodiless, sink

    @property
    def untouched(self) -> bool:
        """Whether not a byte of it has come."""
        return not self._came

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes of the stream.

        Raises:
            RequestFailed: they are not HTTP, its head does not end, or its body is not coded as
                the head says.
        """
        headed, size = self.headed, self.size
        if not headed:
            self._head = self._head + data if self._came else data
        self._came += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise _switched() from None
        except httptools.HttpParserError as error:
            if self._error is not None:
                raise self._error from None
            if not self.done:
                raise RequestFailed("invalid answer", f"invalid answer: {error}") from None
            self.spoiled = True
        if self.done:
            return
        if self.headed and not headed:
            self._head = self._head[: self._last_head()[1]]
        self._unframed = self._unframed + len(data) if self.size == size else 0
        if self._unframed > LONGEST_HEAD:
            where = "trailers or chunk extensions" if self.headed else "headers"
            raise RequestFailed("invalid answer", f"invalid answer: its {where} do not end")

    def end(self) -> None:
        """
        Take the end of the stream, which completes an answer without a length.

        Raises:
            RequestFailed: it was not complete.
        """
        self.spoiled = True
        if self.headed and not self._framed():
            self.done = True
        elif self.untouched:
            raise RequestFailed("closed without an answer", "closed without an answer")
        else:
            raise RequestFailed("closed in the middle", "closed before the answer was complete")

    def header(self, name: bytes) -> list[bytes]:
        """The values of a header of the final head; `name` is in lower case."""
        return [value for key, value in self.fields() if key == name]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The headers of the final head, their names in lower case."""
        start, end = self._last_head()
        lines = (line.partition(b":") for line in self._head[start:end].split(b"\r\n")[1:])
        return [(name.lower(), value.strip()) for name, _, value in lines]

    def is_of(self, kind: bytes) -> bool:
        """Return whether the final head names this content type, in lower case."""
        return kind in self._head and any(
            value.lower().startswith(kind) for value in self.header(b"content-type")
        )

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request."""
        return self._kept and not self.spoiled

    def _last_head(self) -> tuple[int, int]:
        """Where the head that is not interim begins and ends."""
        start = 0
        while self._head.startswith(_INTERIM, start):
            start = self._head.find(_END, start) + len(_END)
        end = self._head.find(_END, start)
        return start, end if end >= 0 else len(self._head)

    def _framed(self) -> bool:
        """Whether the answer says where it ends (RFC 9112, 6.3)."""
        coding = b",".join(self.header(b"transfer-encoding")).lower()
        if coding:
            return coding.endswith(b"chunked")
        return bool(self.header(b"content-length"))

    # llhttp's

    def on_message_begin(self) -> None:
        if self.done:
            self.spoiled = True  # an answer that nobody asked for

    def on_headers_complete(self) -> None:
        if self.done:
            return
        status = self._parser.get_status_code()
        if status == 101:
            self._error = _switched()
            raise self._error
        if status >= 200:
            self.status = status
            self.headed = True
            self.headed_at = perf_counter()
            if self.bodiless:
                # llhttp does not know that the request was a HEAD, and would wait for a body.
                self.done = True
                closing = b",".join(self.header(b"connection")).lower()
                self._kept = self._parser.get_http_version() == "1.1" and b"close" not in closing

    def on_body(self, body: bytes) -> None:
        if self.done:
            self.spoiled = True  # a body that a HEAD must not have
            return
        self.size += len(body)
        if self.sink is not None:
            try:
                self.sink.feed(body)
            except RequestFailed as error:
                self._error = error
                raise

    def on_message_complete(self) -> None:
        if self.headed and not self.done:
            self.done = True
            self._kept = self._parser.should_keep_alive()  # it knows no longer afterwards


def _switched() -> RequestFailed:
    text = "the protocol was switched, which nobody asked for"
    return RequestFailed("invalid answer", text)
