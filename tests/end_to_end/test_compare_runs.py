"""`brownout compare` on real processes: what is restarted, and what ends it too soon."""

import json
import sys

import psutil
import pytest

from tests.support.brownout_runs import brownout, called

pytestmark = pytest.mark.processes

SERVICE = """
import json, os, sys
from app_under_test.__main__ import main

if sys.argv.pop(1) == "failing":
    sys.argv[sys.argv.index("--upstream") + 1] += "/nowhere"
main()
"""
PLAN = """
name = "pair"
[upstream]
latency = "20ms"
budget = { late = "1m", lag = "1m", cpu = 1.0 }
[[upstream.routes]]
path = "/external-data"
[[upstream.routes]]
path = "/nowhere/external-data"
status = 503
[deployments.base]
command = "PYTHON service.py fine async-aiohttp --port {port} --upstream {upstream}"
[deployments.head]
command = "PYTHON service.py WAY async-aiohttp --port {port} --upstream {upstream}"
[[requests]]
path = "/external-data"
"""
# p50, since a busy machine leaves a block of a second too few requests for p95.
SHORT = ("--plan", "plan.toml", "--at", "8", "--metric", "p50", "--settle", "0s", "--measure", "1s")


@pytest.fixture
def pair(tmp_path):
    def write(way):
        (tmp_path / "service.py").write_text(SERVICE, encoding="utf-8")
        text = PLAN.replace("PYTHON", sys.executable).replace("WAY", way)
        (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_a_head_that_fails_from_the_start_is_worse_after_the_first_usable_round(pair) -> None:
    code, invocation = called("compare", "base", "head", *SHORT, cwd=pair("failing"))
    run = invocation.run()
    [found] = run.verdicts
    assert (code, found.verdict) == (1, "WORSE"), found.sentence
    assert "100 %" in found.sentence
    assert "503" in found.sentence
    assert found.sentence.split(". ")[0] in " ".join(invocation.output.split())
    assert sum(point.requests for point in run.points) > 0
    *earlier, last = (found.blocks[i : i + 8] for i in range(0, len(found.blocks), 8))
    assert len(last) == 8
    assert not [blocks for blocks in earlier if all(block.usable for block in blocks)]


def test_each_round_restarts_and_ctrl_c_still_prints_what_was_measured(pair) -> None:
    folder = pair("fine")
    with brownout(
        "compare", "base", "head", *SHORT, "--margin", "0.001%", cwd=folder
    ) as invocation:
        invocation.until("[9/")
        assert invocation.insist() == 130
        run = invocation.run()
    [found] = run.verdicts
    assert found.verdict == "UNRESOLVED"
    assert len(found.blocks) == 8
    assert [one.deployment for one in found.blocks].count("head") == 4
    logs = sorted(path.name for path in (folder / "runs").glob("*/logs/head*.log"))
    assert logs == ["head.log", "head~2.log"]
    assert header_in(folder)["comparison"]["at"] == [8]


def test_a_deployment_that_dies_is_named_and_ends_the_comparison(pair) -> None:
    folder = pair("fine")
    with brownout("compare", "base", "head", *SHORT, cwd=folder) as invocation:
        invocation.until("[2/")
        psutil.Process(header_in(folder)["deployments"]["head"]["pid"]).kill()
        assert invocation.end() == 4
        [found] = invocation.run().verdicts
    assert found.verdict == "INVALID"
    assert "'head' was killed by SIGKILL" in found.sentence


def header_in(folder):
    """The first line of the run's file."""
    [file] = (folder / "runs").glob("*/slices.jsonl")
    return json.loads(file.read_text(encoding="utf-8").splitlines()[0])
