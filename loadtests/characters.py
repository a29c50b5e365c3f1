"""Replaces in texts what terminals, CI runners and spreadsheets obey, or XML cannot hold."""

import re

# Controls other than tab and line end, and those that change the direction of the text around them.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What runners of GitHub (both of its forms) and Azure take for a command in a job's output.
_COMMAND = re.compile(
    r"^(?P<before>[ \t]*):(?=:[a-z][\w-]*(?: [^\n]*?)?::)|#(?=#(?:vso)?\[)",
    re.IGNORECASE | re.MULTILINE,
)
# What XML 1.0 has no way to write. The characters that it has take 20 ms more to compile.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# What moves a terminal's cursor, colours its text or names its window (ECMA-48, 5.4 and 5.6).
_SEQUENCE = re.compile(
    "\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])"
)
# At the start of a cell: what OWASP lists (full-width signs, too), and the same past blanks and
# quotes, should a spreadsheet skip those. Inside, after what ends a cell or a row where the comma
# does not: in half of Europe that is ";", and quotes after a comma are then no quotes.
_FORMULA = re.compile(
    r"""^(?=[\t\r\n\0])|(?:^|(?<=[;\t\r\n]))(?=[ "]*[-=+@\uff0d\uff1d\uff0b\uff20])"""
)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """
    Return the text without what a terminal or a CI runner would obey.

    What a service prints, or a server answers, can move the cursor, rename the window, write to the
    clipboard, or show its characters in another order (Unicode, UAX #9). On a line of its own
    `::add-mask::x` is a command to the runner of a job.
    """
    text = _OBEYED.sub(_REPLACEMENT, text)
    return _COMMAND.sub(lambda found: (found["before"] or "") + _REPLACEMENT, text)


def for_xml(text: str) -> str:
    """Return the text without what XML 1.0 cannot hold."""
    return _FORBIDDEN.sub(_REPLACEMENT, text)


def for_csv(text: str) -> str:
    """Return the text of a cell with an apostrophe where a spreadsheet would see a formula."""
    return _FORMULA.sub("'", text)


def readable(text: str) -> str:
    """
    Return what a program printed as lines to read: without colours, the earlier states of progress
    bars, and runs of bytes that are no text.
    """
    text = _SEQUENCE.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return re.sub(f"{_REPLACEMENT}{{2,}}", _REPLACEMENT, printable("\n".join(lines)))
