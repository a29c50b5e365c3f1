"""Where in the user's own code something happened."""

import sys
import sysconfig
import traceback
from pathlib import Path
from types import FrameType, TracebackType

import gevent

from loadtests import redaction

LONGEST = 300  # characters of an exception's text
_OURS = tuple(
    f"{folder}/"
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(str(Path(__file__).resolve().parents[2] / name) for name in ("loadtests", "brownout")),
    }
)


def is_theirs(filename: str) -> bool:
    """Whether a source file is neither ours, nor Locust's, nor that of an installed library."""
    return not filename.startswith(("<", *_OURS))


def is_raised_there(error: BaseException) -> bool:
    """Whether the user's code is on the way to it."""
    return bool(_last_line(error.__traceback__))


def described(error: BaseException) -> str:
    """What was raised, and the last line of the user's code on the way to it."""
    text = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    where = _last_line(error.__traceback__)
    shown = redaction.text(what)
    if len(shown) > LONGEST:
        shown = f"{shown[:LONGEST]}..."
    return f"{shown} ({where})" if where else shown


def _last_line(trace: TracebackType | None) -> str:
    frames = [one for one in traceback.extract_tb(trace) if is_theirs(one.filename)]
    if not frames:
        return ""
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name}"


def caller() -> str | None:
    """
    The line of the user's code that is being run, or that spawned this greenlet, with its file;
    None: none is, nor did.
    """
    spawned = getattr(gevent.getcurrent(), "spawning_stack", None)
    return _of_theirs(sys._getframe()) or _of_theirs(spawned)


def _of_theirs(frame: FrameType | None) -> str | None:
    while frame is not None:
        if is_theirs(frame.f_code.co_filename):
            name = Path(frame.f_code.co_filename).name
            return f"{name}, line {frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back
    return None
