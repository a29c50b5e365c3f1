"""What services and servers say is shown and not obeyed."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from loadtests.characters import for_xml, printable, readable
from loadtests.cli import console, progress
from loadtests.processes.groups import ProcessGroup, stop
from loadtests.schedules import Step
from loadtests.storage import run_folder
from tests.loadtests.storage.test_runfolder import HEADER

HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b31m \x7f \r\u202egnp.exe\u2066 \u200f"


def test_only_control_characters_are_replaced():
    assert printable("a\tb\nc d\u00e9 \u65e5\u672c \U0001f600") == (
        "a\tb\nc d\u00e9 \u65e5\u672c \U0001f600"
    )
    assert printable("\x1b[2J\r\x00\x07\x7f\x85\u202e\ud800") == "\ufffd[2J" + 7 * "\ufffd"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n  ::set-output name=x::y", "a\n  \ufffd:set-output name=x::y"),
        ("::stop-commands::x\n::Error::y", "\ufffd:stop-commands::x\n\ufffd:Error::y"),
        ("a ##[error]b", "a \ufffd#[error]b"),
        ("##vso[task.setvariable]b", "\ufffd#vso[task.setvariable]b"),
        ("::1 and ::ffff:127.0.0.1\nstd::io::x, a ::b::c\n## [x] ##", None),
    ],
)
def test_only_commands_of_a_ci_runner_are_replaced(text, shown):
    assert printable(text) == (shown or text)


def test_characters_that_xml_forbids_are_replaced():
    assert for_xml("a\x00\x1bb\ufffe\ud800\tc\u202e") == "a\ufffd\ufffdb\ufffd\ufffd\tc\u202e"


def test_output_of_a_program_is_shown_without_colours_and_progress():
    assert readable("\x1b[1;31mE\x1b[0m\x1b(B \x1b]0;t\x07x\r\n 1%\r99%\rdone\n\x00\x00\x00") == (
        "E x\ndone\n\ufffd"
    )


def shown(thing, **options):
    file = io.StringIO()
    made = console.console(file=file, width=80, **options)
    made.print(thing, markup=False, soft_wrap=True)
    return file.getvalue()


@pytest.mark.parametrize("before", ["", "a\n", "word " * 16, "x" * 80])
@pytest.mark.parametrize("command", ["::set-output name=foo::bar", "##vso[a b=c]", "##[error]5"])
def test_a_console_shows_commands_of_a_ci_runner_as_text_in_whatever_style(before, command):
    file = io.StringIO()
    console.console(file=file, width=80).print(before + command, markup=False)
    last = file.getvalue().splitlines()[-1]
    assert last == f"\ufffd{command[1:]}"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_shows_control_characters_as_text(terminal):
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for thing in (HOSTILE, Text(HOSTILE, style="red"), table):
        found = shown(thing, force_terminal=terminal, color_system=None)
        assert found.strip("\n") == printable(found).strip("\n")
        assert "owned" in found
    assert "\x1b[31m" in shown(
        Text("red", style="red"), force_terminal=True, color_system="standard"
    )


def test_a_progress_bar_shows_control_characters_as_text():
    file = io.StringIO()
    made = console.console(file=file, width=80, force_terminal=True, color_system=None)
    with progress.shown(made) as observer:
        observer.begins(Step(deployment=HOSTILE, level=4), 1, 2, 10.0)
        observer.problem(HOSTILE)
    found = file.getvalue()
    assert "owned" in found
    hostile = ("\x1b]0", "\x1b[2J ", "\x9b", "\u202e", "\x07")
    assert [word for word in hostile if word in found] == []


def test_a_problem_is_recorded_without_control_characters(tmp_path):
    folder = run_folder.RunFolder(tmp_path, HEADER)
    folder.problem(HOSTILE, "shop")
    folder.end("complete")
    assert folder.record.problems == [f"shop: {printable(HOSTILE)}"]
    assert "\\u001b" not in (tmp_path / "slices.jsonl").read_text(encoding="utf-8")


@pytest.mark.processes
def test_control_characters_in_the_last_lines_of_a_process_are_shown_as_text(tmp_path):
    noise = "\\033[31mWARN\\033[0m \\033]0;owned\\007load " + "\\377\\376" * 5_000 + "\\n"
    words = ["printf", f"{noise}{noise}a\\033[2Jb\\a\\n"]
    group = ProcessGroup(words, {}, None, tmp_path / "x.log")
    group.wait(10)
    stop([group])
    assert group.last_words().splitlines()[2:5] == ["  WARN load \ufffd"] * 2 + ["  ab\ufffd"]
