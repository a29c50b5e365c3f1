"""What was typed at the command line -> values."""

import re

from loadtests.exit_codes import Failure
from mock_upstream.units.durations import parse_duration


class UsageError(Failure):
    """What was typed cannot be done; the message says why and the way out."""


def margin(text: str) -> float:
    """A share, from a text such as "5%"."""
    match = re.fullmatch(r"\s*(\d{1,3}(?:\.\d+)?)\s*%\s*", text, re.ASCII)
    share = float(match[1]) / 100 if match else 0.0
    if not 0 < share <= 1:
        raise UsageError(f"--margin {text!r} is not a share above 0% and up to 100%, such as 5%.")
    return share


def level(text: str) -> int | None:
    """The one level at which two saved runs are compared; None: whichever can be."""
    if not text:
        return None
    if not re.fullmatch(r"\s*[1-9]\d{0,4}\s*", text, re.ASCII):
        raise UsageError(f"--at {text!r} is not a level of the two runs, such as 40.")
    return int(text)


def bounds(text: str) -> list[int]:
    if not re.fullmatch(r"(\s*[1-9]\d{0,4}\s*(,\s*[1-9]\d{0,4}\s*)?)?", text, re.ASCII):
        raise UsageError(
            f"--levels {text!r} is not a lowest and a highest level, such as 1,400, or the lowest."
        )
    found = [int(part) for part in text.split(",") if part.strip()]
    if found and found[-1] > 20_000:
        raise UsageError(f"--levels {text!r}: 20,000 is the highest level that can be tried.")
    return found


def seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--within {text!r}: {error}") from None


def base_path(text: str) -> str:
    """The path before all addresses of the web UI; empty: none."""
    if text and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text, re.ASCII):
        raise UsageError(
            f"--web-base-path {text!r} is not a path such as /load, without / at its end."
        )
    return text
