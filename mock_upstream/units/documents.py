"""TOML and JSON of others: any that cannot be read is a ValueError that says why."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

LONGEST_LINE = 500  # characters of a message
MOST_LINES = 50
_NAME = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
# A key of a hundred names: reading one takes time with the square of their number.
_DEEP = re.compile(rf"(?:^|[\[{{,])[ \t]*+(?:{_NAME}\.[ \t]*+){{100}}", re.MULTILINE)


def from_toml(text: str) -> dict[str, Any]:
    """
    Return the table that the text describes.

    Raises:
        ValueError: it is not TOML, is nested too deep, or has a number of thousands of digits.
    """
    if _DEEP.search(text):
        raise ValueError("it is nested too deep")
    table: dict[str, Any] = _read(tomllib.loads, text)
    return table


def from_json(text: str | bytes) -> Any:
    """
    Return the value that the text describes.

    Raises:
        ValueError: it is not JSON, is nested too deep, or has a number of thousands of digits or
            half of a surrogate pair.
    """
    return _read(_characters, text.decode("utf-8-sig") if isinstance(text, bytes) else text)


def _characters(text: str) -> Any:
    value = json.loads(text)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # no file and no terminal can take it
            raise ValueError("it has half of a surrogate pair, which is not a character") from None
    return value


def _read(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):  # Python's advice is for programmers
            raise ValueError("it has a whole number of too many digits") from None
        raise


def shortened(text: str) -> str:
    """Return a line of a message, cut in its middle where it is too long: both ends say most."""
    if len(text) <= LONGEST_LINE:
        return text
    return f"{text[: LONGEST_LINE - 205]} ... {text[-200:]}"


def listed(messages: Iterable[str]) -> str:
    """Return several messages as one, a line each or more; the first where there are too many."""
    lines = [line for message in messages for line in message.splitlines()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1:,} more"]
    return "\n".join(map(shortened, lines))
