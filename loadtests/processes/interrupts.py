"""
Signals that end a command: the first one raises KeyboardInterrupt, those after it do nothing.

Ending takes seconds: processes are stopped, the report is written. A second signal in that time
must not cost the report.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

LOST = 10.0
"""
Seconds after which another signal raises again if nothing has handled the first: Python only prints
a KeyboardInterrupt that comes up in a finalizer or a callback.
"""


class _Signals:
    """What came so far, in the outermost `interruptible` block."""

    def __init__(self) -> None:
        self.raises = False
        self.came = False
        self.handled = False
        self._at = 0.0

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.came and (self.handled or monotonic() - self._at < LOST):
            return
        self.came, self._at = True, monotonic()
        if self.raises:
            raise KeyboardInterrupt


_signals: _Signals | None = None


@contextmanager
def interruptible(*, until_exit: bool = False) -> Iterator[None]:
    """
    SIGTERM and SIGHUP end the block as Ctrl-C does. Within another such block it changes nothing.

    Ctrl-C ends it also where SIGINT was ignored, as in the background of a script. A SIGHUP that
    is ignored stays so: that is what `nohup` is for.

    Args:
        until_exit: the process ends after the block. After a signal, later ones are ignored then,
            so that they do not change its exit code.
    """
    global _signals
    if _signals is not None or threading.current_thread() is not threading.main_thread():
        yield  # other threads get no signals
        return
    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    signals = _Signals()
    before = {number: signal.signal(number, signals.handle) for number in ends}
    _signals = signals
    try:
        signals.raises = True  # only here: before, nothing would restore the handlers
        if signals.came:
            raise KeyboardInterrupt
        yield
    finally:
        came = signals.came
        try:
            signals.raises = False
        finally:
            _signals = None
            ignored = until_exit and signals.came
            for number, handler in reversed(before.items()):  # last SIGINT's own, which may raise
                signal.signal(number, signal.SIG_IGN if ignored else handler)
        if signals.came and not came:  # in the lines above
            raise KeyboardInterrupt


class HeldSignals:
    """The state of a `held` block."""

    def __init__(self, signals: _Signals) -> None:
        self._signals = signals

    @property
    def came(self) -> bool:
        """Whether a signal came, raised or not."""
        return self._signals.came

    @contextmanager
    def released(self) -> Iterator[None]:
        """A part of the block in which the first signal raises KeyboardInterrupt."""
        signals = self._signals
        try:
            signals.raises = True
            if signals.came:
                raise KeyboardInterrupt
            yield
        except BaseException as error:
            if is_interrupt(error) and not isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        finally:
            signals.raises = False


@contextmanager
def held() -> Iterator[HeldSignals]:
    """
    No signal raises in this block, but in what it releases: its end is always reached.

    The block asks `Held.came` at its end and acts on it; nothing is raised later.
    """
    with interruptible():
        signals = _signals or _Signals()  # those of another thread than the main one never come
        before, signals.raises = signals.raises, False
        try:
            yield HeldSignals(signals)
        finally:
            signals.handled = signals.came
            signals.raises = before


def is_interrupt(error: BaseException | None) -> bool:
    """
    Return whether Ctrl-C made this error: pydantic raises one of its own where a KeyboardInterrupt
    comes up while it serializes.
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__
    return False
