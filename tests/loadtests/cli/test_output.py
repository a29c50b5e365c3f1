"""What a command prints at its end, for a person and for a program."""

import json
from io import StringIO

import pytest
import typer
from typer.testing import CliRunner

from loadtests import results
from loadtests.cli import commands, console, output, progress
from loadtests.outcomes import Ending, Outcome
from loadtests.report.outputs import comparison
from tests.support.example_runs import example


@pytest.fixture(autouse=True)
def as_usual(monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    yield
    output.use()


def finished(folder, **options):
    output.use(**options)
    (folder / "report.html").touch()
    outcome = Outcome(folder, example(), frozenset({Ending.FAILED}))
    with pytest.raises(typer.Exit) as ended:
        output.finish(outcome, None)
    return ended.value.exit_code


def test_json_is_one_object_on_standard_output_and_all_else_is_on_standard_error(tmp_path, capsys):
    code = finished(tmp_path, as_json=True)
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert found["exit_code"] == code == 1
    assert found["folder"] == str(tmp_path)
    assert found["report"] == str(tmp_path / "report.html")
    blocking = found["deployments"]["blocking-requests"]
    assert blocking["sentence"].startswith("blocking-requests: flat to 40 users")
    assert blocking["knee"]["level"] == pytest.approx(39.6, abs=0.1)
    assert [point["level"] for point in blocking["points"]] == [1, 5, 10, 20, 40, 80, 160]
    assert {slo["status"] for slo in found["slos"]} == {"met", "missed", "unresolved"}
    assert found["problems"] == example().problems
    assert "knee of" in said.err


def test_quiet_prints_the_results_without_the_tables(tmp_path, capsys):
    finished(tmp_path, quiet=True)
    said = capsys.readouterr().out
    assert "flat to 40 users" in said
    assert "knee of" not in said
    output.note("left out")
    assert capsys.readouterr().out == ""


def test_quiet_and_verbose_exclude_each_other():
    for command in (["run", "quick", "--dry-run"], ["capacity"], ["compare", "a", "b"]):
        ended = CliRunner().invoke(commands.app, [*command, "-q", "-v"])
        assert ended.exit_code == 2
        assert "--quiet and --verbose exclude each other" in ended.output


def test_json_of_two_saved_runs_has_the_verdicts(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "html", lambda found: "")
    for name in "ab":
        (tmp_path / name).mkdir()
        text = results.to_json(example())
        (tmp_path / name / "run.json").write_text(text, encoding="utf-8")
    words = ["compare", *(str(tmp_path / name) for name in "ab")]
    words += ["--out", str(tmp_path / "page.html"), "--json", "--anyway"]
    ended = CliRunner().invoke(commands.app, words)
    found = json.loads(ended.stdout)
    assert found["exit_code"] == ended.exit_code
    assert {one["verdict"] for one in found["verdicts"]} <= {"EQUIVALENT", "INVALID", "UNRESOLVED"}
    assert found["verdicts"]


def test_force_color_colors_a_file_and_no_color_keeps_a_terminal_plain():
    file = StringIO()
    forced = console.console(file=file, _environ={"FORCE_COLOR": "1", "TERM": "xterm"})
    forced.print("red", style="red")
    with progress.shown(forced) as observer:
        assert isinstance(observer, progress._Lines)
    assert file.getvalue().startswith("\x1b[31mred")
    file = StringIO()
    environment = {"NO_COLOR": "1", "TERM": "xterm"}
    console.console(file=file, force_terminal=True, _environ=environment).print("red", style="red")
    assert "\x1b[31m" not in file.getvalue()
