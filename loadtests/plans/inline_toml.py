"""Values as TOML writes them on one line."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def value_of(value: Any, pad: str = "") -> str:
    """
    Return a JSON value, without null, as TOML.

    Args:
        pad: stands within the braces of a table.
    """
    if isinstance(value, Mapping):
        return f"{{{pad}{inside(value, pad)}{pad}}}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_of(item, pad) for item in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL and half of a surrogate pair.
        plain = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", value)
        return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def has_null(value: Any) -> bool:
    """Whether a JSON value holds a null, which TOML lacks."""
    if isinstance(value, Mapping):
        return any(map(has_null, value.values()))
    return any(map(has_null, value)) if isinstance(value, list) else value is None


def inside(table: Mapping[str, Any], pad: str = "") -> str:
    """Return the content of an inline table."""
    return ", ".join(f"{key(str(name))} = {value_of(item, pad)}" for name, item in table.items())


def key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else value_of(name)
