"""The request that follows a redirect, as the load generator and the controller send it."""

from urllib.parse import urljoin, urlsplit

from loadtests.recording.messages import RequestSpec

MOST = 5  # one after the other; a browser follows 20, and a service under test needs one or two
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, 9.2.1
_OF_BODY = ("content-length", "content-type", "content-encoding", "transfer-encoding")


def onward(spec: RequestSpec, target: str, status: int, location: str) -> RequestSpec | None:
    """
    Return the request that a redirect asks for; None: it leads to another service.

    Source: RFC 9110, 15.4.

    Args:
        spec: the request that was answered.
        target: URL of the deployment; a path in it comes before each request's path.
        location: as the answer has it, relative or not.
    """
    here = urlsplit(target)
    there = urlsplit(urljoin(target.rstrip("/") + spec.path, location))
    prefix, path = here.path.rstrip("/"), there.path or "/"
    names = {name.lower(): value for name, value in spec.headers.items()}
    ours = there.scheme == here.scheme and there.netloc in (here.netloc, names.get("host"))
    if not ours or not path.startswith(prefix):
        return None
    path = (path.removeprefix(prefix) or "/") + (f"?{there.query}" if there.query else "")
    changes: dict[str, object] = {"path": path}
    if status == 303 or (status in (301, 302) and spec.method not in SAFE):
        kept = {name: v for name, v in spec.headers.items() if name.lower() not in _OF_BODY}
        method = "HEAD" if spec.method == "HEAD" else "GET"
        changes |= {"method": method, "body": None, "headers": kept}
    return spec.model_copy(update=changes)
