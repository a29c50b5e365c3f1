"""What a command prints at its end, for a person and for a program."""

import json
from io import StringIO

import pytest
import typer
from typer.testing import CliRunner

from loadtests import claims, results, selfcheck
from loadtests.claims.checking import ClaimOutcome
from loadtests.claims.experiment import ClaimCase, all_experiments, judged
from loadtests.cli import commands, console, output, progress
from loadtests.outcomes import Ending, Outcome
from loadtests.report.outputs import comparison
from loadtests.selfcheck.findings import Check, Findings, Limits, sentence
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


@pytest.mark.parametrize(
    "name", ["run", "capacity", "compare", "doctor", "report", "selfcheck", "claims"]
)
def test_each_command_that_ends_with_results_can_be_quiet_and_print_json(name):
    command = typer.main.get_group(commands.app).commands[name]
    assert {"--quiet", "-q", "--json"} <= {word for one in command.params for word in one.opts}


def test_json_of_a_check_of_the_machine_has_its_checks_and_limits(tmp_path, monkeypatch):
    found = Findings((Check("a", "1", "2", passed=False),), Limits(4000.0, 50, 0.0003))

    def check(out, observer, begins):
        begins("a title")
        return found

    monkeypatch.setattr(selfcheck, "check", check)
    ended = CliRunner().invoke(commands.app, ["selfcheck", "--json"])
    assert json.loads(ended.stdout) == {
        "exit_code": 3,
        "sentence": sentence(found),
        "checks": [{"name": "a", "expected": "1", "measured": "2", "passed": False}],
        "limits": {"rate": 4000.0, "users": 50, "floor": 0.0003},
    }
    assert ended.exit_code == 3
    assert "- a title" in ended.stderr
    ended = CliRunner().invoke(commands.app, ["selfcheck", "-q"])
    assert "a title" not in ended.output
    assert "cannot be trusted" in ended.output


def test_json_of_the_statements_has_verdicts_and_cases(tmp_path, monkeypatch):
    one = ClaimCase(
        when="with 1 user",
        what="time",
        unit="seconds",
        if_true=1.0,
        if_false=4.0,
        predicted=1.0,
        measured=results.Estimate(value=1.1, low=1.0, high=1.2),
    )
    finding = judged(all_experiments()["client-reuses"], [one])

    def check(wanted, out, observer, begins, found):
        begins("a plan")
        found(finding)
        return ClaimOutcome(tmp_path / "claims.md", [finding], 0)

    monkeypatch.setattr(claims, "check", check)
    ended = CliRunner().invoke(commands.app, ["claims", "--json"])
    found = json.loads(ended.stdout)
    assert found["page"] == str(tmp_path / "claims.md")
    assert found["exit_code"] == ended.exit_code == 0
    [told] = found["findings"]
    assert (told["name"], told["verdict"]) == ("client-reuses", "confirmed")
    assert told["cases"][0]["measured"] == {"value": 1.1, "low": 1.0, "high": 1.2}
    assert told["cases"][0]["holds"] is True
    assert "confirmed" in ended.stderr
    ended = CliRunner().invoke(commands.app, ["claims", "-q"])
    assert "a plan" not in ended.output
    assert "1 statement: 1 confirmed" in ended.output
