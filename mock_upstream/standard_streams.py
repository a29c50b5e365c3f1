"""
Standard output and error of a command, and the exit code when they fail or when it crashes.

A reader that goes away, as in `| head -1`, interrupts the command once: it stops what it started
and keeps what it has. A full disk does not interrupt it, since its results are elsewhere.
"""

import codecs
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO, cast

from mock_upstream.exit_signals import Interrupts

CRASHED = 70  # EX_SOFTWARE of sysexits.h
UNWRITABLE = 74  # EX_IOERR of sysexits.h
INTERRUPTED = 130  # as a shell reports a process that SIGINT ended
READER_GONE = 141  # as a shell reports a process that SIGPIPE ended

_ENCODING_ERRORS = "brownout"


def run(name: str, command: Callable[[], object], masked: Callable[[str], str] = str) -> int:
    """
    Run the command of this process, which then ends; return its exit code.

    Args:
        command: returns its exit code, or raises SystemExit with it; None is 0.
        masked: takes out of a traceback what nobody should read.

    Returns:
        READER_GONE or UNWRITABLE where standard output or error could not be written; CRASHED
        after an exception, with a traceback on standard error, or after a SystemExit without a
        number; else the command's own.
    """
    interrupts = Interrupts()
    codecs.register_error(_ENCODING_ERRORS, _encodable)
    out, error = _guarded("stdout"), _guarded("stderr")
    try:
        code = interrupts.during(command)
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException as crash:
        print(masked("".join(traceback.format_exception(crash))), file=sys.stderr)
        print(
            f"{name}: this is a fault of brownout itself, neither of the command line nor of what "
            "it was used on. Please report it with the lines above.",
            file=sys.stderr,
        )
        code = CRASHED
    for stream in (out, error):
        if stream:
            stream.flush()
    return _code(code, [stream.failure for stream in (out, error) if stream and stream.failure])


class _Guarded:
    """A text stream whose first failure is kept; what is written after it is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, error: OSError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        with suppress(OSError, ValueError):  # what is in the buffer goes there, too
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if error.errno == errno.EPIPE and not _interrupted:
            _interrupted.append(True)
            os.kill(os.getpid(), signal.SIGINT)  # for the main thread, in whichever thread this is


_interrupted: list[bool] = []  # both streams may have the same reader


def _guarded(name: str) -> _Guarded | None:
    stream = getattr(sys, name)
    if stream is None:  # it was closed when this process started
        return None
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_ENCODING_ERRORS)
    guarded = _Guarded(stream)
    setattr(sys, name, cast(TextIO, guarded))
    return guarded


def _encodable(error: UnicodeError) -> tuple[bytes, int]:
    """The bytes of a file's name as they are, and a question mark for what is not encodable."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = [ord(character) for character in error.object[error.start : error.end]]
    known = range(0xDC80, 0xDD00)  # surrogateescape, PEP 383
    return bytes(code - 0xDC00 if code in known else ord("?") for code in codes), error.end


def _code(code: object, failures: list[OSError]) -> int:
    """A terminal that was closed (EIO) changes nothing: its SIGHUP does, where it is heeded."""
    numbers = {failure.errno for failure in failures}
    if errno.EPIPE in numbers:
        return READER_GONE
    if numbers - {errno.EIO}:
        why = next(failure.strerror for failure in failures if failure.errno != errno.EIO)
        print(f"What was printed could not be written: {why}.", file=sys.stderr)
        return UNWRITABLE
    return code if isinstance(code, int) else 0 if code is None else CRASHED
