"""How a command ends that crashes, or whose output cannot be written: never as a verdict does."""

import ctypes
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brownout_runs import COMMAND, LOCUST, PLAN, brownout
from tests.support.servers import LONGEST_WAIT

pytestmark = pytest.mark.processes

MOCK = [sys.executable, "-m", "mock_upstream"]
APP = [sys.executable, "-m", "app_under_test", "async-httpx", "--upstream", "http://127.0.0.1:1"]
ONE = ("--deployments", "async")  # one is enough
CRASH = "import sys; sys.argv = ['x', 'CRASH']; import {package}.__main__ as command; {work}"

# Exit code 2 becomes the number of a signal, SIGINT, that C raises when Python is gone.
AT_THE_END = """
import ctypes, runpy, sys
c = ctypes.CDLL(None)
c.on_exit(getattr(c, "raise"), None)
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
INTERRUPTED = """
import codecs, signal, sys
from mock_upstream import standard_streams
{before}
sys.exit(standard_streams.run("brownout", lambda: {command}))
"""


def ended(words: list[str], cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=LONGEST_WAIT,
        **options,
    )


@pytest.fixture
def no_reader():
    """A pipe that nobody reads from."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@pytest.mark.parametrize(
    ("package", "work"),
    [
        (
            "loadtests",
            "sys.argv = ['brownout', 'report', '.']; "
            "from loadtests import redaction; "
            "redaction.remember('a-known-secret'); "
            "import loadtests.analysis.runs as runs; "
            "runs.analyse = lambda path: {}['a-known-secret']; "
            "command.main()",
        ),
        (
            "mock_upstream",
            "from mock_upstream import standard_streams; "
            "command._profile = None; sys.argv = ['mock_upstream', 'serve']; "
            "sys.exit(standard_streams.run('mock_upstream', command.main))",
        ),
        ("app_under_test", "command.command_line = None; command.command()"),
    ],
)
def test_a_crash_ends_with_70_and_is_called_a_bug(tmp_path, package, work):
    script = CRASH.format(package=package, work=work)
    found = ended([sys.executable, "-c", script], tmp_path, stdout=subprocess.DEVNULL)
    assert found.returncode == 70, found.stderr
    assert "Traceback (most recent call last)" in found.stderr
    assert "a-known-secret" not in found.stderr
    if package != "app_under_test":
        assert found.stderr.endswith("Please report it with the lines above.\n")


@pytest.mark.parametrize(
    "words",
    [
        [*COMMAND, "--help"],
        [*COMMAND, "run", "--dry-run"],
        [*MOCK, "--version"],
        [*MOCK, "serve", "--latency", "5ms"],
        [*APP, "--port", "0"],
    ],
)
def test_a_reader_that_went_away_ends_a_command_with_141(tmp_path, no_reader, words):
    found = ended(words, tmp_path, stdout=no_reader)
    assert found.returncode == 141
    assert "Traceback" not in found.stderr
    assert "Exception ignored" not in found.stderr


def test_an_unread_error_ends_with_141_too(tmp_path, no_reader):
    words = [*COMMAND, "run", "no-such-plan"]
    found = subprocess.run(
        words, cwd=tmp_path, stdout=no_reader, stderr=no_reader, timeout=LONGEST_WAIT
    )
    assert found.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [[*COMMAND, "run", "--dry-run"], [*MOCK, "--version"]])
def test_output_on_a_full_disk_ends_with_74_and_a_message(tmp_path, words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        found = ended(words, tmp_path, stdout=full)
    assert found.returncode == 74
    assert found.stderr == "What was printed could not be written: No space left on device.\n"


def test_a_closed_standard_output_is_not_a_failure(tmp_path):
    words = ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND, "run", "--dry-run"]
    found = ended(words, tmp_path, stdout=subprocess.DEVNULL)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_run_whose_reader_goes_away_is_interrupted_and_reported(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    reads, writes = os.pipe()
    run = subprocess.Popen(
        [*COMMAND, "run", "plan.toml", *ONE, "--levels", "1,2,3,4,5,6,7,8"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=writes,
        stderr=subprocess.PIPE,
    )
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as printed:
        for line in printed:
            if re.match(r"\[1/8", line):
                break
    _, said = run.communicate(timeout=LONGEST_WAIT)
    assert run.returncode == 141, said
    assert b"Traceback" not in said
    [folder] = (tmp_path / "runs").iterdir()
    assert (folder / "report.html").exists()
    assert '"status": "interrupted"' in (folder / "run.json").read_text(encoding="utf-8")


def test_a_run_whose_terminal_is_closed_is_interrupted_and_reported(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    own, theirs = pty.openpty()
    words = ["setsid", "--ctty", "--wait", *COMMAND, "run", "plan.toml", *ONE]
    words += ["--levels", "1,2,3,4,5,6"]
    run = subprocess.Popen(words, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"/s, p50" not in shown:
        shown += os.read(own, 4096)
    os.close(own)
    assert run.wait(LONGEST_WAIT) == 130
    [folder] = (tmp_path / "runs").iterdir()
    assert (folder / "report.html").exists()


def test_a_bad_option_and_an_unknown_plan_end_with_2(tmp_path):
    for words in (["run", "--no-such-option"], ["run", "no-such-plan"]):
        with brownout(*words, cwd=tmp_path) as invocation:
            assert invocation.end() == 2, invocation.output


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "on_exit"), reason="there is no on_exit here")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("loadtests", ["run", "no-such-plan"]),
        ("mock_upstream", ["no-such-command"]),
        ("app_under_test", ["no-such-variant"]),
        ("locust", ["-f", LOCUST[-1], "--headless", "--plan", "no-such-plan"]),
    ],
)
def test_ctrl_c_when_python_is_gone_changes_no_exit_code(tmp_path, module, words):
    found = ended([sys.executable, "-c", AT_THE_END, module, *words], tmp_path)
    assert found.returncode == 2, found.stderr


@pytest.mark.parametrize(
    ("before", "command", "code"),
    [
        ("", "exec('signal.raise_signal(signal.SIGINT)')", 130),
        ("codecs.register_error = lambda *_: signal.raise_signal(signal.SIGINT)", "0", 130),
        ("standard_streams._code = lambda *_: signal.raise_signal(signal.SIGINT) or 7", "0", 7),
    ],
    ids=["in code from a string", "before the command", "after the command"],
)
def test_ctrl_c_at_any_moment_ends_a_command_with_its_own_exit_code(
    tmp_path, before, command, code
):
    script = INTERRUPTED.format(before=before, command=command)
    (tmp_path / "interrupted.py").write_text(script, encoding="utf-8")
    found = ended([sys.executable, "-m", "interrupted"], tmp_path)
    assert (found.returncode, found.stderr) == (code, "")
