"""A plan's requests as bytes: made once a stage, sent many times."""

from collections.abc import Mapping
from time import monotonic_ns

from loadtests import redaction
from loadtests.engine.answers import AnswerParser
from loadtests.engine.bodies import Text
from loadtests.engine.connection import Endpoint
from loadtests.engine.failures import RequestFailed
from loadtests.engine.redirect_target import place
from loadtests.recording import request_heads, server_timing
from loadtests.recording.messages import RequestSpec
from loadtests.recording.redirects import SAFE


def head(
    endpoint: Endpoint, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """The request line and the headers, without the empty line that ends them."""
    lines = [f"{method} {request_heads.target(endpoint.prefix, path)} HTTP/1.1"]
    fields = request_heads.fields(method, headers, body, endpoint.authority)
    lines += (f"{name}: {value}" for name, value in fields)
    return "\r\n".join(lines).encode() + b"\r\n"


class Bodies:
    """
    What the bodies of good answers to one kind of request are.

    `json`: JSON is expected, since the request says so or since there was some. An HTML page in its
    place is the error or log-in page of something that stands before the service.
    """

    __slots__ = ("json",)

    def __init__(self, spec: RequestSpec) -> None:
        accepts = [text for name, text in spec.headers.items() if name.lower() == "accept"]
        self.json: bool | None = spec.json_body or any("json" in text for text in accepts)
        if spec.contains is not None or any("html" in text for text in accepts):
            self.json = None  # whatever it is, the plan says what is in it

    def wrong(self, answer: AnswerParser) -> bool:
        """Return whether a page came in place of JSON."""
        if self.json:
            return answer.is_of(b"text/html")
        if self.json is False:
            self.json = answer.is_of(b"application/json")
        return False


class Call:
    """
    One kind of request to one endpoint.

    `twin` is the same one stamped; None: it is never stamped.

    Args:
        stamped: each carries the moment of its sending, and its Server-Timing is read.
        bodies: what its answers were so far; None: nothing is known.
    """

    __slots__ = ("_after", "_before", "_needle", "bodies", "bodiless", "endpoint", "onward", "safe",
                 "spec", "stamped", "timeout", "twin", "url")  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        spec: RequestSpec,
        stamped: bool = False,
        bodies: Bodies | None = None,
    ) -> None:
        self.endpoint, self.spec, self.stamped = endpoint, spec, stamped
        self.bodies = bodies or Bodies(spec)
        self.twin: Call | None = None
        self.onward: dict[tuple[int, str], Call] = {}
        """The requests that follow its redirects, by status and place."""
        self.safe = spec.method in SAFE
        self.bodiless = spec.method == "HEAD"
        self.timeout = spec.timeout
        self.url = endpoint.target + spec.path
        self._needle = spec.contains
        body = (spec.body or "").encode()
        self._before = head(endpoint, spec.method, spec.path, spec.headers, body)
        self._after = b"\r\n" + body
        if stamped:
            self._before += server_timing.SENT.encode() + b": "
            self._after = b"\r\n" + self._after
        else:
            self._before += self._after

    def data(self) -> bytes:
        """The whole request, to be sent now."""
        if self.stamped:
            return b"%b%d%b" % (self._before, monotonic_ns(), self._after)
        return self._before

    def sink(self, answer: AnswerParser) -> Text | None:
        """What looks into the body of the answer; None: nothing does."""
        if self._needle is None:
            return None
        return Text(self._needle.encode(), lambda: answer.header(b"content-encoding"))

    def unexpected(self, answer: AnswerParser) -> RequestFailed | None:
        """What is wrong with an answer that came, by the plan."""
        status = answer.status
        if status not in self.spec.statuses if self.spec.statuses else status >= 300:
            return self._refused(answer)
        if isinstance(answer.sink, Text) and not answer.sink.found:
            return RequestFailed(
                "unexpected content", f"the body does not contain {self._needle!r}"
            )
        if self.bodies.wrong(answer):
            return RequestFailed("HTML page", f"status {status} with an HTML page, not with JSON")
        return None

    def _refused(self, answer: AnswerParser) -> RequestFailed:
        """An answer whose status is not expected. The work that a redirect asks for is not done."""
        status = answer.status
        places = answer.header(b"location") if 300 <= status < 400 else []
        if not places:
            return RequestFailed(str(status), f"status {status}")
        where = redaction.text(places[0].decode("latin-1"))
        return RequestFailed(f"{status} to {place(answer)}", f"status {status} to {where}")
