"""The head of a plan's request, as the load generator and the controller send it."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

WITH_BODY = ("POST", "PUT", "PATCH")  # RFC 9110, 8.6: these say the length of none, too
_LITERAL = "%/?:@!$&'()*+,;=-._~[]#"  # of a path and a query; what is quoted already stays so
_USUAL = (
    ("User-Agent", "brownout"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "gzip, deflate, br"),
)


def target(prefix: str, path: str) -> str:
    """Return what the request line asks for; `prefix` is the path of the deployment's URL."""
    return quote((prefix + path).partition("#")[0], safe=_LITERAL) or "/"


def fields(
    method: str, given: Mapping[str, str], body: bytes, authority: str
) -> Iterator[tuple[str, str]]:
    """
    Yield the names and values of the headers.

    Args:
        given: the request's own, which replace the usual ones.
        authority: host and port, for Host.
    """
    own = {name.lower() for name in given}
    if "host" not in own:
        yield "Host", authority
    yield from ((name, value) for name, value in _USUAL if name.lower() not in own)
    yield from given.items()
    measured = own & {"transfer-encoding", "content-length"}
    if (body or method in WITH_BODY) and not measured:
        yield "Content-Length", str(len(body))
