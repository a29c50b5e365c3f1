"""
`python -m mock_upstream.tethered serve ...`: as `python -m mock_upstream`, but never left behind.

It ends when its standard input does, so also when whoever started it was killed and could not
stop it.
"""

import os
import signal
import sys
from threading import Thread

from mock_upstream.__main__ import main


def _watch() -> None:
    # Not sys.stdin: its lock, held by a thread at the interpreter's end, is a fatal error.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    Thread(target=_watch, daemon=True).start()
    sys.exit(main())
