"""The command line, where it starts nothing: saved runs against each other."""

import errno
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from loadtests import results
from loadtests.cli import commands, output, playing, ui
from loadtests.exit_codes import Failure
from loadtests.report import writing
from loadtests.report.outputs import comparison
from loadtests.results import Run
from tests.support.brownout_runs import PLAN
from tests.support.example_runs import about, changed, example

pytestmark = pytest.mark.processes


@pytest.fixture
def saved(tmp_path):
    def save(run: Run, name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text(results.to_json(run), encoding="utf-8")
        return str(folder)

    return save


def times(factor: float, relative: float = 0.01) -> Run:
    """The example with other times, and failures left out, as they would decide."""

    def alter(one):
        found = {n: e and about(e.value * factor, relative) for n, e in one.response_time.items()}
        return one.model_copy(update={"response_time": found})

    return changed(example(), alter)


def compared(tmp_path: Path, *words: str):
    page = tmp_path / "page.html"
    return CliRunner().invoke(commands.app, ["compare", *words, "--out", str(page)])


@pytest.mark.parametrize(
    ("b", "words", "code"),
    [
        (times(1.2), (), 1),
        (times(0.8), (), 0),
        (times(1.001), (), 0),
        (times(1.03, 0.05), (), 3),
        (times(1.03, 0.05), ("--unresolved", "pass"), 0),
        (times(1.03, 0.05), ("--unresolved", "fail"), 1),
        (times(1.2), ("--unresolved", "pass"), 1),
        (times(1.08), ("--margin", "10 %"), 0),
        (times(1.2), ("--at", "80"), 1),  # one of the three is invalid there: worse weighs more
    ],
)
def test_verdicts_decide_the_exit_code(tmp_path, saved, monkeypatch, b, words, code):
    monkeypatch.setattr(comparison, "html", lambda found: "")  # the next test reads the page
    ended = compared(tmp_path, saved(example(), "a"), saved(b, "b"), *words)
    assert ended.exit_code == code, ended.output
    assert (tmp_path / "page.html").exists()


def test_a_level_at_which_a_point_is_invalid_decides_nothing(tmp_path, saved):
    ended = compared(tmp_path, saved(example(), "a"), saved(times(1.001), "b"), "--at", "80")
    assert ended.exit_code == 3
    assert "async-httpx against its baseline: INVALID. At 80 users the baseline" in (
        " ".join(ended.output.split())
    )


def test_verdicts_are_printed_before_the_path_of_the_page(tmp_path, saved):
    ended = compared(tmp_path, saved(example(), "a"), saved(times(1.2), "b"))
    assert "WORSE" in (tmp_path / "page.html").read_text(encoding="utf-8")
    said = " ".join(ended.output.split())
    assert said.endswith(f" % would have been seen. {tmp_path / 'page.html'}")
    *_, before, _ = said.split(" would have been seen.")
    assert "async-aiohttp against its baseline: WORSE. p95 at 160 users is +20 %" in before
    assert "A stored baseline: what changes from run to run" in said


def test_runs_with_other_settings_are_compared_with_anyway(tmp_path, saved):
    other = times(1.001).model_copy(update={"environment": {"cpu": "another"}})
    a, b = saved(example(), "a"), saved(other, "b")
    ended = compared(tmp_path, a, b)
    assert ended.exit_code == 2
    assert "  environment: cpu is 2 x Example CPU at 2.5 GHz in A, another in B\n" in ended.output
    assert "  version: locust is 2.47.1 in A, not given in B\n" in ended.output
    assert "--anyway" in ended.output
    assert not (tmp_path / "page.html").exists()
    assert compared(tmp_path, a, b, "--anyway").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--at", "30"), "30 is not among the levels that both runs measured: 1, 5, 10"),
        (("--margin", "5"), "--margin '5' is not a share above 0% and up to 100%, such as 5%."),
        (("--margin", "0%"), "--margin '0%'"),
        (("--margin", "101%"), "--margin '101%'"),
    ],
)
def test_invalid_options_are_refused(tmp_path, saved, words, says):
    ended = compared(tmp_path, saved(example(), "a"), saved(times(1.2), "b"), *words)
    assert ended.exit_code == 2
    assert says in ended.output


def test_a_run_against_itself_is_a_mistake(tmp_path, saved):
    folder = saved(example(), "a")
    ended = compared(tmp_path, folder, folder)
    assert ended.exit_code == 2
    assert "one and the same run" in ended.output


def test_a_folder_without_a_run_is_named(tmp_path, saved):
    ended = compared(tmp_path, saved(example(), "a"), str(tmp_path))
    assert ended.exit_code == 2
    assert "holds no run.json" in ended.output


@pytest.mark.parametrize(
    "words",
    [
        *(["run"], ["doctor"], ["capacity"], ["ui"], ["report"], ["compare", "async-httpx"]),
        *(["compare", "a", "b", "--plan"], ["run", "quick", "--dry-run", "--baseline"]),
        ["init", "--url", "http://127.0.0.1:1", "--path", "/", "--file"],
    ],
)
def test_a_name_that_no_file_system_takes_is_refused(words):
    name = "n" * 300
    for typed in (name, f"{name}/x", f"./{name}"):
        ended = CliRunner().invoke(commands.app, [*words, typed])
        assert ended.exit_code == 2, (typed, ended.output, ended.exception)
        assert "nnn" in ended.output


def test_an_unwritable_page_or_report_is_reported_with_a_hint(tmp_path, saved, monkeypatch):
    monkeypatch.setattr(writing, "replace", _denied)
    words = [saved(example(), "a"), saved(times(2), "b"), "--out", str(tmp_path / "page.html")]
    ended = CliRunner().invoke(commands.app, ["compare", *words])
    assert ended.exit_code == 2
    assert f"{tmp_path / 'page.html'} cannot be written: Permission denied. Choose" in ended.output
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "slices.jsonl").touch()
    ended = CliRunner().invoke(commands.app, ["report", str(folder)])
    assert ended.exit_code == 2
    assert "Permission denied. Copy the run to a folder that you can write." in ended.output


def _denied(path, content, private=True):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_file_in_place_of_a_run_is_refused_without_an_errno(tmp_path, saved, command):
    file = tmp_path / "brownout.toml"
    file.write_text('name = "a"', encoding="utf-8")
    words = [command, str(file / "deeper")]
    words += [saved(example(), "a")] if command == "compare" else []
    ended = CliRunner().invoke(commands.app, words)
    assert ended.exit_code == 2
    assert "Errno" not in ended.output


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN, encoding="utf-8")
    return str(file)


def test_a_baseline_with_other_settings_is_refused_before_the_run(
    tmp_path, saved, plan, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    other = example().model_copy(update={"deployments": {"async": {}, "threads": {}}})
    ended = CliRunner().invoke(commands.app, ["run", plan, "--baseline", saved(other, "base")])
    assert ended.exit_code == 2
    assert "  load: levels is [1, 5, 10, 20, 40, 80, 160] in A, [1, 4] in B\n" in ended.output
    assert "--anyway" in ended.output
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_checks_the_baseline_too(tmp_path, plan):
    words = ["run", plan, "--baseline", str(tmp_path), "--dry-run"]
    ended = CliRunner().invoke(commands.app, words)
    assert ended.exit_code == 2
    assert "holds no run.json" in ended.output


@pytest.mark.parametrize("words", [("--anyway",), ("--margin", "5%"), ("--at", "4")])
def test_options_of_a_comparison_need_a_baseline(plan, words):
    ended = CliRunner().invoke(commands.app, ["run", plan, *words])
    assert ended.exit_code == 2
    assert "add --baseline RUN" in ended.output


def test_an_interrupt_that_a_library_wrapped_is_an_interrupt():
    made = ValueError("not serialized")
    made.__cause__ = KeyboardInterrupt()
    with pytest.raises(typer.Exit) as ended, output.mistakes():
        raise made
    assert ended.value.exit_code == 130
    with pytest.raises(ValueError, match="of ours"), output.mistakes():
        raise ValueError("of ours")


def test_one_process_is_locust_without_workers():
    assert playing.several(1) == []
    assert playing.several(2) == ["--processes", "2", "--expect-workers-max-wait", "20"]


@pytest.mark.parametrize(
    ("host", "why"),
    [("", "not an address"), ("*", "not an address"), ("no such host", "cannot be used")],
)
def test_the_web_ui_needs_an_address(tmp_path, host, why):
    ended = CliRunner().invoke(
        commands.app, ["ui", "quick", "--web-host", host, "--out", str(tmp_path)]
    )
    assert ended.exit_code == 2
    assert why in " ".join(ended.output.split())


def test_a_port_is_free_or_taken_in_each_family():
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as server:
            port = server.getsockname()[1]
            with pytest.raises(Failure, match=f"Port {port} of {host} cannot be used"):
                ui._check_port(host, port)
        ui._check_port(host, port)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("my.host", "my.host"),
    ],
)
def test_an_address_is_shown_as_a_browser_takes_it(host, shown):
    assert ui._reached_at(host) == shown


def test_the_plan_of_the_folder_is_the_default_and_is_named(tmp_path, plan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = CliRunner().invoke(commands.app, ["run", "--dry-run"])
    assert shipped.output.startswith("This folder has no brownout.toml: the plan is the shipped")
    assert "blocking-requests" in shipped.output
    Path(plan).rename("brownout.toml")
    for words in (["run", "--dry-run"], ["compare", "async", "threads", "--dry-run", "--at", "4"]):
        own = CliRunner().invoke(commands.app, words)
        assert own.exit_code == 0, own.output
        assert own.output.startswith("The plan is brownout.toml of this folder.")
        assert "threads" in own.output
    given = CliRunner().invoke(commands.app, ["run", "quick", "--dry-run"])
    assert "The plan is" not in given.output
