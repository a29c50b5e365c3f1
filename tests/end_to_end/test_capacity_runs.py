"""`brownout capacity` as a user starts it."""

import json

import pytest
from typer.testing import CliRunner

from loadtests.cli import commands
from tests.support.brownout_runs import PLAN, called

pytestmark = pytest.mark.processes

SLOS = """
[slos]
sure = "errors < 50% at 4"
"""


def test_a_search_writes_the_capacity_of_each_deployment_and_can_be_analysed_again(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN + SLOS, encoding="utf-8")
    words = ["capacity", "plan.toml", "--levels", "1,2", "--within", "30s"]
    code, invocation = called(*words, cwd=tmp_path)
    run = invocation.run()
    assert set(run.capacities) == {"threads", "async"}
    settled = {name: found.above for name, found in run.capacities.items()}
    # On a busy machine no point may be valid, and then nothing is decided.
    assert code in ({0} if all(settled.values()) else {0, 3}), invocation.output
    assert run.slos == []
    folder = tmp_path / invocation.lines[-1].strip()
    header = json.loads((folder / "slices.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (header["capacity_search"]["lowest"], header["capacity_search"]["highest"]) == (1, 2)
    assert all(found.seconds >= 1 for found in run.capacities.values())
    again, report = called("report", str(folder), cwd=tmp_path)
    assert again == 0, report.output


def test_a_plan_without_slos_and_wrong_bounds_are_refused_with_a_hint(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN, encoding="utf-8")
    ended = CliRunner().invoke(commands.app, ["capacity", str(plan)])
    assert ended.exit_code == 2
    assert 'checkout-p95 = "p95 < 250ms at 1"' in ended.output
    plan.write_text(PLAN + SLOS, encoding="utf-8")
    for words, says in (
        (["--levels", "1;5"], "is not a lowest and a highest level"),
        (["--within", "soon"], "--within 'soon'"),
    ):
        ended = CliRunner().invoke(commands.app, ["capacity", str(plan), *words])
        assert ended.exit_code == 2
        assert says in ended.output
