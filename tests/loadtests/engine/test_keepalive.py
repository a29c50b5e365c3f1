"""Connections of the client: kept above 1023 descriptors, and closed when a service restarts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

SCRIPT = Path(__file__).parents[2] / "support" / "gevent_reuse.py"


def test_connections_are_reused_above_1023_descriptors():
    answer = subprocess.run(
        ["bash", "-c", f"ulimit -n 4096 2>/dev/null; exec {sys.executable} {SCRIPT} install"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    opened = json.loads(answer.stdout)
    assert opened["descriptor"] > 1023
    assert (opened["low"], opened["high"]) == (1, 1)


def test_a_user_holds_one_connection_for_each_deployment_however_often_these_restart():
    script = SCRIPT.with_name("gevent_restarts.py")
    answer = subprocess.run(
        [sys.executable, script, "4"], capture_output=True, encoding="utf-8", check=True, timeout=60
    )
    *held, stopped = json.loads(answer.stdout)
    assert [sum(servers) for servers in held] == [1] + [2] * 7
    assert held[-1] == [0, 0, 0, 1, 1]
    assert sum(stopped) == 0
