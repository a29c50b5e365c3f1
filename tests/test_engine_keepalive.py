"""The client must not lose its connections when a process holds many descriptors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).with_name("gevent_reuse.py")


def test_connections_are_reused_above_1023_descriptors():
    answer = subprocess.run(
        ["bash", "-c", f"ulimit -n 4096 2>/dev/null; exec {sys.executable} {SCRIPT} install"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    opened = json.loads(answer.stdout)
    assert opened["descriptor"] > 1023
    assert (opened["low"], opened["high"]) == (1, 1)
