"""Redirects of a plan's requests: where they lead to, and the request that follows one."""

from urllib.parse import urljoin, urlsplit

from loadtests import redaction
from loadtests.engine.answers import AnswerParser
from loadtests.engine.calls import SAFE, Call
from loadtests.engine.connection import ClientConnection
from loadtests.engine.failures import RequestFailed
from loadtests.engine.redirect_target import place

MOST = 5  # one after the other; a browser follows 20, and a service under test needs one or two
_KEPT = 100  # requests that are made once for each place; a place can hold an identifier
_OF_BODY = ("content-length", "content-type", "content-encoding", "transfer-encoding")


def is_redirect(answer: AnswerParser) -> bool:
    return 300 <= answer.status < 400 and bool(answer.header(b"location"))


def followed(
    connection: ClientConnection, call: Call, answer: AnswerParser
) -> tuple[AnswerParser, Call]:
    """
    Send what the redirects ask for, on the same connection; the last answer and its request.

    Raises:
        RequestFailed: one leads to another service, or there are too many.
        OSError: there was no answer.
    """
    for _ in range(MOST):
        if not is_redirect(answer):
            return answer, call
        call = _onward(call, answer)
        answer = connection.exchange(call)
    if is_redirect(answer):
        raise RequestFailed("too many redirects", f"more than {MOST} redirects, at last to "
                            f"{redaction.text(_location(answer))}")  # fmt: skip
    return answer, call


def _location(answer: AnswerParser) -> str:
    return answer.header(b"location")[0].decode("latin-1")


def _onward(call: Call, answer: AnswerParser) -> Call:
    """Return the request that follows the redirect (RFC 9110, 15.4)."""
    location, status = _location(answer), answer.status
    made = call.onward.get((status, location))
    if made is not None:
        return made
    spec, endpoint = call.spec, call.endpoint
    target = urlsplit(urljoin(call.url, location))
    names = {name.lower(): value for name, value in spec.headers.items()}
    ours = endpoint.holds(target.geturl()) or target.netloc == names.get("host")
    path = target.path or "/"
    if not ours or not path.startswith(endpoint.prefix):
        raise RequestFailed(
            f"{status} to {place(answer)}",
            f"status {status} to {redaction.text(location)}, which is not this service",
        )
    path = (path.removeprefix(endpoint.prefix) or "/") + (
        f"?{target.query}" if target.query else ""
    )
    changes: dict[str, object] = {"path": path}
    if status == 303 or (status in (301, 302) and spec.method not in SAFE):
        kept = {n: v for n, v in spec.headers.items() if n.lower() not in _OF_BODY}
        method = "HEAD" if spec.method == "HEAD" else "GET"
        changes |= {"method": method, "body": None, "headers": kept}
    made = Call(endpoint, spec.model_copy(update=changes))
    if len(call.onward) < _KEPT:
        call.onward[status, location] = made
    return made
