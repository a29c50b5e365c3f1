"""The paths of a profile's routes: their names in braces, and which requests they match."""

import re
from collections.abc import Mapping
from functools import lru_cache

MOST_ROUTES = 1000
LONGEST_PATH = 2000  # characters of a route's path
LONGEST_MATCHED = 8000  # characters of a request's path (RFC 9110, 4.1: servers take as many)
NAME = r"[A-Za-z_][A-Za-z0-9_]*"

_IN_BRACES = re.compile(rf"\{{({NAME})\}}")


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
