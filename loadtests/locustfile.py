"""What Locust loads: `locust -f loadtests/locustfile.py`, headless, with the web UI, on workers."""

import os
import sys
from pathlib import Path

# Locust has put the folder where it was started first: one with a "loadtests", or a "queue.py".
_path, _here = sys.path[:], Path(__file__).resolve().parent
_others = [entry for entry in _path if entry not in (os.getcwd(), str(_here))]
sys.path[:] = [str(_here.parent), *_others]
try:
    from loadtests.engine.conductor import UserCountShape as UserCountShape
    from loadtests.engine.locust_hooks import install
finally:
    sys.path[:] = _path

globals().update(install())
