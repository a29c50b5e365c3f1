"""What Locust loads: `locust -f loadtests/locustfile.py`, headless, with the web UI, on workers."""

import sys
from pathlib import Path

# Locust has put the folder where it was started first; that may hold a "loadtests" of its own.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
try:
    from loadtests.engine.conductor import Levels as Levels
    from loadtests.engine.wiring import install
finally:
    del sys.path[0]

globals().update(install())
