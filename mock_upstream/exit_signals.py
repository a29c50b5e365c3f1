"""
Signals in the first and last moments of a command, where Python by itself lets them end it.

Python ends a process by a signal, and not with its exit code, in two cases that no `except` sees:

* When the interpreter shuts down, it takes its handlers away, and the default action is back.
* After a KeyboardInterrupt that was handled, if the process was started by `python -m` and the
  interrupt came up in code from a string, such as that of a dataclass which is being made.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")


class Interrupts:
    """SIGINT raises KeyboardInterrupt in a command: not before, when it is kept, and not after."""

    def __init__(self) -> None:
        self._came = False
        # A shell that starts a command in the background of a script has SIGINT ignored, and Python
        # leaves it at that.
        signal.signal(signal.SIGINT, self._keep)

    def during(self, command: Callable[[], Result]) -> Result:
        """
        Run the command of this process, which then ends.

        Raises:
            KeyboardInterrupt: SIGINT came by now.
        """
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._came:
                raise KeyboardInterrupt
            return command()
        finally:
            ignore_until_exit()

    def _keep(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True


def ignore_until_exit() -> None:
    """Ignore what would end this process by a signal from now on: its exit code is known."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    exec("")  # Python notes for each code from a string whether a KeyboardInterrupt left it
