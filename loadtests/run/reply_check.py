"""What is wrong with the answer to a single request, in a sentence, and the way out."""

import json
import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from urllib.parse import urljoin, urlsplit

from loadtests import redaction
from loadtests.characters import printable
from loadtests.recording.messages import RequestSpec
from loadtests.run.ping import PingReply

_LONGEST = 160  # characters of an answer that are quoted
_HTML = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def problem(
    target: str, spec: RequestSpec, reply: PingReply, known_paths: Collection[str] = ()
) -> str | None:
    """
    Return what is wrong with the answer, and what to change; None: it is what the plan expects.

    Args:
        target: URL of the deployment.
        known_paths: of the service, as its OpenAPI document has them; empty: not known.
    """
    if reply.status is None:
        return f"gives no answer: {reply.error}."
    if reply.error:
        return f"answers {reply.status}, but {reply.error}."
    if reply.status not in spec.statuses if spec.statuses else reply.status >= 300:
        return " ".join(_unexpected(target, spec, reply, known_paths))
    if spec.contains is not None and spec.contains.encode() not in reply.body:
        return (
            f"answers {reply.status}, but its body does not contain {spec.contains!r}, which the "
            f"plan expects{_quoted(reply)}"
        )
    if _is_page(reply) and spec.contains is None and not _wants_html(spec):
        title = _TITLE.search(reply.text)
        named = f" with the title {printable(title[1].strip())!r}" if title else ""
        return (
            f"answers {reply.status} with an HTML page{named}, not with JSON. If that is a log-in "
            "or an error page, change path or headers; if it is the page that you want to measure, "
            'say so with expect = { contains = "..." }.'
        )
    return None


def _unexpected(
    target: str, spec: RequestSpec, reply: PingReply, known_paths: Collection[str]
) -> Iterator[str]:
    status = reply.status or 0
    if 300 <= status < 400 and "location" in reply.headers:
        yield from _redirected(target, spec, reply)
        return
    yield f"answers {status}{_expected(spec)}{_quoted(reply)}"
    match status:
        case 401 | 403:
            yield (
                "It wants other credentials: write them as "
                'headers = { Authorization = "Bearer {env.TOKEN}" } of this request.'
                if any(redaction.is_secret(name) for name in spec.headers)
                else 'It wants credentials: add headers = { Authorization = "Bearer {env.TOKEN}" } '
                "to this request."
            )
        case 404:
            yield _not_found(target, spec, known_paths)
        case 405:
            allowed = reply.headers.get("allow")
            methods = f" It takes {redaction.text(allowed)}." if allowed else ""
            yield f"The path does not take {spec.method}.{methods} Change method."
        case 400 if "host" in reply.text.lower():
            yield "If it checks the Host header, allow 127.0.0.1, or set headers = { Host = ... }."
        case 415 | 422 | 400:
            yield "The request lacks something: change json, headers or the query in path."
        case 429:
            yield "It limits the rate of requests: turn that off for the test."
        case _ if status < 500 and not spec.statuses:
            yield f"If that is the right answer, write expect = {{ status = {status} }}."


def _redirected(target: str, spec: RequestSpec, reply: PingReply) -> Iterator[str]:
    place = reply.headers["location"]
    shown = printable(redaction.text(place))
    if spec.follow:
        yield (
            f"answers {reply.status}, a redirect to {shown}, which is not followed: it leaves this "
            "service, or there are too many."
        )
        return
    yield (
        f"answers {reply.status}, a redirect to {shown}. Redirects are not followed, unless the "
        'request has redirects = "follow".'
    )
    parts = urlsplit(urljoin(target.rstrip("/") + spec.path, place))
    here = urlsplit(target)
    if (
        parts.netloc.partition(":")[0] == here.netloc.partition(":")[0]
        and parts.path != urlsplit(spec.path).path
    ):
        query = f"?{parts.query}" if parts.query else ""
        path = parts.path.removeprefix(here.path.rstrip("/")) or "/"
        if "login" in path.lower() or "signin" in path.lower():
            yield "It wants a log-in: add credentials to headers of this request."
        else:
            yield f"Write path = {json.dumps(redaction.text(path + query))}."
    elif parts.scheme == "https" and here.scheme == "http":
        yield (
            "It wants HTTPS: turn that off for the test, or, if it trusts proxies, add "
            'headers = { X-Forwarded-Proto = "https" }.'
        )
    else:
        yield "Ask the path that gives the answer itself, with credentials if it needs them."


def _not_found(target: str, spec: RequestSpec, known_paths: Collection[str]) -> str:
    prefix = urlsplit(target).path.rstrip("/")
    path = prefix + urlsplit(spec.path).path
    known = [one for one in known_paths if not re.fullmatch(_pattern(one), path)]
    if not known_paths:
        return "Correct path."
    if len(known) < len(known_paths):
        return "The service has this path, so what it names is not there: correct the values in it."
    nearest = get_close_matches(path, known, n=1, cutoff=0.5)
    if nearest:
        return f"Did you mean path = {json.dumps(nearest[0])}?"
    return f"The service has the paths {', '.join(sorted(known)[:8])}."


def _pattern(path: str) -> str:
    """A regular expression for the paths that a template of OpenAPI matches."""
    return "".join("[^/]+" if part.startswith("{") else re.escape(part)
                   for part in re.split(r"(\{[^{}]*\})", path))  # fmt: skip


def _expected(spec: RequestSpec) -> str:
    if not spec.statuses:
        return ""
    return f", not {' or '.join(map(str, spec.statuses))} as the plan expects"


def _quoted(reply: PingReply) -> str:
    """The beginning of a body that is text; begins with a colon, or is a full stop."""
    if not reply.body or b"\0" in reply.body[:_LONGEST] or _is_page(reply):
        return "."
    words = printable(redaction.text(" ".join(reply.text[:1000].split())))
    cut = words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ..."
    return f": {cut}" + ("" if cut.endswith((".", "...")) else ".")


def _is_page(reply: PingReply) -> bool:
    kind = reply.headers.get("content-type", "")
    return kind.startswith(("text/html", "application/xhtml")) or bool(_HTML.match(reply.body))


def _wants_html(spec: RequestSpec) -> bool:
    accept = next((text for name, text in spec.headers.items() if name.lower() == "accept"), "")
    return "html" in accept
