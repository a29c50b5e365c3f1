"""Locust, as brownout starts it: `python -P -m loadtests.engine`.

What it needs is imported here, before Locust puts the folder where it was started on `sys.path`:
a folder that holds a `loadtests`, a `locust` or a `random.py` of its own does not get in the way.
"""

from locust.main import main  # first: it patches the process

import loadtests.engine.locust_hooks  # noqa: F401 - it hooks into Locust

main()
