"""`brownout run --baseline`: two short runs, one judged by the other."""

import json

import pytest
from typer.testing import CliRunner

from loadtests import cli, results
from tests.brownout_runs import PLAN, called, calm

pytestmark = pytest.mark.processes

CODES = {"WORSE": 1, "UNRESOLVED": 3, "INVALID": 3, "BETTER": 0, "EQUIVALENT": 0}
WORDS = ("run", "plan.toml", "--deployments", "async")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run whose plan asks for more than it can tell: its exit code, and what it printed."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "plan.toml").write_text(PLAN + '[slos]\nsharp = "p99 < 1s at 1"\n')
    with calm():  # without a valid level it would be no baseline
        return called(*WORDS, cwd=folder)


def test_an_slo_without_enough_requests_is_unresolved(first):
    code, invocation = first
    assert code == 3, invocation.output
    assert [slo.status for slo in invocation.run().slos] == ["unresolved"]


def test_a_run_is_judged_by_an_older_one_and_stays_so_when_it_is_analysed_again(tmp_path, first):
    (tmp_path / "plan.toml").write_text(PLAN)
    _, older = first
    base = older.cwd / older.lines[-1].strip()

    code, second = called(*WORDS, "--baseline", str(base), "--margin", "90%", cwd=tmp_path)
    run, folder = second.run(), tmp_path / second.lines[-1].strip()
    [verdict] = run.verdicts
    assert code == CODES[verdict.verdict], second.output
    assert (verdict.method, verdict.a, verdict.b, verdict.margin) == (
        "stored",
        "async",
        "async",
        0.9,
    )
    assert "A stored baseline: what changes from run to run" in second.output
    assert f"async against its baseline: {verdict.verdict}." in second.output
    assert f"async against its baseline: {verdict.verdict}" in (folder / "summary.md").read_text()
    assert "A stored baseline is the weaker method" in (folder / "report.html").read_text()
    assert "comparison.html" in {file.name for file in folder.iterdir()}
    kept = json.loads((folder / "baseline.json").read_text())
    assert kept["run"] == json.loads((base / "run.json").read_text())

    (folder / "comparison.html").unlink()
    ended = CliRunner().invoke(cli.app, ["report", str(folder)])
    assert ended.exit_code == 0, ended.output
    assert results.read(folder) == run
    assert (folder / "comparison.html").exists()

    page = str(tmp_path / "page.html")
    words = ["compare", str(base), str(folder), "--margin", "90%", "--out", page]
    assert CliRunner().invoke(cli.app, words).exit_code == code

    other = ["run", str(tmp_path / "plan.toml"), "--baseline", str(base), "--levels", "1"]
    ended = CliRunner().invoke(cli.app, other)
    assert ended.exit_code == 2
    assert "load: levels is [1, 4] in A, [1] in B" in ended.output
