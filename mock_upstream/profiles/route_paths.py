"""
Which requests a profile's routes match: their methods, and their paths with names in braces.

Also which names in braces an answer is filled with.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache

MOST_ROUTES = 1000
LONGEST_PATH = 2000  # characters of a route's path
LONGEST_MATCHED = 8000  # characters of a request's path (RFC 9110, 4.1: servers take as many)
QUERY = "query."
"""Begins the names of what is filled from a request's query."""
METHODS = (
    *("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"),
    *("ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY"),
    *("MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "REBIND"),
    *("REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE"),
)
"""Those that llhttp reads; a request with another one is answered 400 before it has a path."""

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_IN_BRACES = re.compile(rf"\{{({_NAME})\}}")
_FILLED = re.compile(rf"\{{({_NAME}|query\.[A-Za-z0-9_.~-]+)\}}")
_LIKE_A_NAME = re.compile(r"\{([^\W\d][\w.~-]*)\}")
_ANY_PART = "\0"  # no route's path has it, so only a name can take it


def checked_path(path: str) -> str:
    """
    Return the path of a route.

    Raises:
        ValueError: no request can have such a path, or its names cannot be told apart.
    """
    if not path.startswith("/"):
        raise ValueError(f"{path!r} does not start with '/'")
    if "?" in path or "#" in path:
        raise ValueError(f"{path!r} is more than a path; leave out '?' and '#' and what follows")
    if strange := _of_another_framework(path):
        raise ValueError(f"{path!r} {strange}")
    names = path_names(path)
    if len(names) != len(set(names)):
        raise ValueError(f"{path!r} uses a name twice")
    if re.search(r"[{}]", _IN_BRACES.sub("", path)):
        raise ValueError(f"{path!r} has a brace that belongs to no {{name}}")
    if "}{" in path:
        raise ValueError(
            f"{path!r} has two names side by side; write text between them, such as {{a}}-{{b}}"
        )
    path_pattern(path)  # now: it takes a while, in which answers may be due later
    return path


def _of_another_framework(path: str) -> str:
    """What is wrong with a path whose wildcards are not those of a profile."""
    if "*" in path:
        return "has a '*', which would stand for itself; write {name} for one part of the path"
    if found := re.search(rf"/:({_NAME})|<(?:\w+:)?({_NAME})>", path):
        name = found[1] or found[2]
        return f"has {found[0].lstrip('/')!r}, which would stand for itself; write {{{name}}}"
    if found := re.search(r"(%[0-9A-Fa-f]{2})+", path):
        return (
            f"has {found[0]!r}, and paths are compared decoded; write the text that it stands for"
        )
    if _ANY_PART in path:
        return "has a null character, which no path of a request has"
    return ""


def checked_method(method: str) -> str:
    """
    Return the method of a route, in capitals.

    Raises:
        ValueError: no request that can be read has it.
    """
    if method.upper() in METHODS:
        return method.upper()
    nearest = get_close_matches(method.upper(), METHODS, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"{method!r} is no HTTP method{hint}")


Key = tuple[str | None, str]
"""Method, None for any, and path of a route."""


@lru_cache(64)  # every phase of a timeline has the same routes
def unreachable(routes: Sequence[Key]) -> tuple[Key, Key] | None:
    """Return the first route that never answers, and the one before it that takes its requests."""
    with_names: list[Key] = []
    literal: set[Key] = set()
    for method, path in routes:
        for key in ((method, path), (None, path)):
            if key in literal:
                return (method, path), key
        like_all = _IN_BRACES.sub(_ANY_PART, path)
        for before in with_names:
            if before[0] in (None, method) and path_pattern(before[1]).values(like_all) is not None:
                return (method, path), before
        if path_names(path):
            with_names.append((method, path))
        else:
            literal.add((method, path))
    return None


def filled_pieces(text: str, names: Collection[str]) -> list[str]:
    """Return JSON cut at each `{name}` of the names and of the query; every second piece is one."""
    pieces = [""]
    for place, piece in enumerate(_FILLED.split(text)):
        if place % 2 and (piece in names or piece.startswith(QUERY)):
            pieces += piece, ""
        else:
            pieces[-1] += f"{{{piece}}}" if place % 2 else piece
    return pieces


def unknown_names(text: str, names: Collection[str]) -> list[str]:
    """Return what looks like a `{name}` in JSON, where only a string can have one, and is none."""
    known = {name for name in _FILLED.findall(text) if name in names or name.startswith(QUERY)}
    return [name for name in _LIKE_A_NAME.findall(text) if name not in known]


def path_names(path: str) -> list[str]:
    """Return the names in braces, in order."""
    return _IN_BRACES.findall(path)


class PathPattern:
    """
    Matches the paths of requests with the path of a route, in linear time.

    Each name takes as much of its segment as it can, the first name first: `{name}.{type}` has the
    name `a.tar` in `/a.tar.gz`. With several names in a segment, an expression for that would try
    each place for each of them. Read backwards, it is the first place at which each text between
    two names is found, so no place has to be tried twice. The groups are atomic for that reason.
    """

    __slots__ = ("_backwards", "_expression", "_start")

    def __init__(self, path: str) -> None:
        pieces = _IN_BRACES.split(path)
        self._start, names, texts = pieces[0], pieces[1::2], pieces[::2]
        self._backwards = any("/" not in between for between in texts[1:-1])
        if self._backwards:
            parts = [re.escape(text[::-1]) for text in texts]
            for place, name in enumerate(names):
                parts[place] = rf"(?>(?P<{name}>[^/]+?){parts[place]})"
            parts.reverse()
        else:
            parts = [re.escape(texts[0])]
            for name, text in zip(names, texts[1:], strict=True):
                parts.append(rf"(?P<{name}>[^/]+){re.escape(text)}")
        self._expression = re.compile("".join(parts))

    def values(self, path: str) -> Mapping[str, str] | None:
        """
        Return the value of each name; None where the path of a request does not match, or is longer
        than LONGEST_MATCHED.
        """
        # First what is quick and excludes most routes.
        if not path.startswith(self._start) or len(path) > LONGEST_MATCHED:
            return None
        if not self._backwards:
            found = self._expression.fullmatch(path)
            return found.groupdict() if found else None
        found = self._expression.fullmatch(path[::-1])
        return {name: text[::-1] for name, text in found.groupdict().items()} if found else None


@lru_cache(2 * MOST_ROUTES)  # every phase of a timeline has the same paths
def path_pattern(path: str) -> PathPattern:
    """Return the pattern of a route's path."""
    return PathPattern(path)
