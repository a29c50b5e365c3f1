"""
`python -m mock_upstream.child FD ...`: as `python -m mock_upstream`, but never left behind.

It ends when its standard input does, so also when the process that started it was killed and could
not stop it. The descriptor FD gives the profile as JSON: no file is left behind either.
"""

import json
import os
import signal
import sys
import time
from threading import Thread

from mock_upstream.__main__ import main

_GRACE = 10.0  # seconds to end after SIGTERM


def _watch() -> None:
    # Not sys.stdin: its lock, held by a thread at the interpreter's end, is a fatal error.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Thread(target=_watch, daemon=True).start()
    with open(int(sys.argv[1]), encoding="utf-8") as file:
        profile = json.load(file)
    sys.exit(main(sys.argv[2:], profile))
