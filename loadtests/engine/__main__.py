"""Locust, as brownout starts it: `python -P -m loadtests.engine`.

What it needs is imported here, before Locust puts the folder where it was started on `sys.path`:
a folder that holds a `loadtests`, a `locust` or a `random.py` of its own does not get in the way.

What is imported stays: no garbage collection looks through it, neither during the imports nor
between two requests.
"""

import gc

gc.disable()

from locust.main import main  # noqa: E402 - first: it patches the process

import loadtests.engine.locust_hooks  # noqa: E402, F401 - it hooks into Locust

gc.freeze()
gc.enable()

main()
