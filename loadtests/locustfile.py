"""What Locust loads: `locust -f loadtests/locustfile.py`, headless, with the web UI, on workers."""

from loadtests.engine.conductor import Levels as Levels
from loadtests.engine.wiring import install

globals().update(install())
