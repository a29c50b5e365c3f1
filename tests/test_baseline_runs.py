"""`brownout run --baseline` as a user starts it: two short runs, one judged by the other."""

import json

from typer.testing import CliRunner

from loadtests import cli, results
from tests.brownout_runs import PLAN, finished

CODES = {"WORSE": 1, "UNRESOLVED": 3, "INVALID": 3, "BETTER": 0, "EQUIVALENT": 0}


def test_a_run_is_judged_by_an_older_one_and_stays_so_when_it_is_analysed_again(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    words = ["run", "plan.toml", "--deployments", "async"]
    code, first = finished(*words, cwd=tmp_path)
    assert code == 0, first.output
    base = tmp_path / first.lines[-1].strip()

    code, second = finished(*words, "--baseline", str(base), "--margin", "90%", cwd=tmp_path)
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
