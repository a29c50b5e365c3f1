import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from loadtests import results
from loadtests.report import writing
from loadtests.report.charts import figures, pictures, vega
from loadtests.report.outputs import markdown
from tests.support import example_runs

PICTURES = {"curves.svg", "curves.png"}


@pytest.mark.usefixtures("pictures")
def test_a_run_is_written_as_data_page_summary_and_pictures(tmp_path):
    run = example_runs.single_level()
    assert writing.write(run, tmp_path) == run
    names = {"run.json", "report.html", "summary.md", "junit.xml", "points.csv"} | PICTURES
    assert {path.name for path in tmp_path.iterdir()} == names
    assert results.read(tmp_path) == run


def test_a_run_without_a_point_has_no_pictures_and_no_complaint_about_them(tmp_path):
    run = example_runs.single_level().model_copy(update={"points": []})
    assert writing.write(run, tmp_path) == run
    assert not PICTURES & {path.name for path in tmp_path.iterdir()}


def test_texts_are_written_before_files_that_need_a_picture(tmp_path):
    names = list(writing._renders(example_runs.single_level()))
    assert names[-3:] == ["report.html", "curves.svg", "curves.png"]
    assert set(names[:-3]) == {"summary.md", "junit.xml", "points.csv"}


def test_an_output_that_cannot_be_made_costs_no_other_and_is_a_problem(tmp_path, monkeypatch):
    def fail(run):
        raise RuntimeError("no ink")

    (tmp_path / "summary.md").write_text("of an earlier report", encoding="utf-8")
    monkeypatch.setattr(markdown, "FILES", {"summary.md": fail})
    found = writing.write(example_runs.single_level(), tmp_path)
    assert found.problems == ["summary.md could not be made: no ink"]
    assert results.read(tmp_path) == found
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"run.json", "report.html", "junit.xml", "points.csv"} | PICTURES


@pytest.mark.usefixtures("pictures")
def test_undrawable_pictures_are_named_and_nothing_else_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(vega, "answer", lambda request: {"error": "no V8"})
    found = writing.write(example_runs.single_level(), tmp_path)
    assert found.problems == [
        "curves.svg could not be made: no V8",
        "curves.png could not be made: no V8",
    ]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("This picture could not be drawn: no V8.") == 4
    assert "<table" in page
    assert not (tmp_path / "curves.svg").exists()


@pytest.mark.parametrize("text", ["\x00", "\x1b[2J", "\ufffe", "\ud800"])
@pytest.mark.usefixtures("pictures")
def test_characters_that_xml_forbids_are_replaced_in_pictures(tmp_path, text):
    run = example_runs.renamed(example_runs.single_level(), "async-httpx", f"a{text}b")
    run = example_runs.changed(
        run, lambda p: p.model_copy(update={"valid": False, "problems": [f"no {text} good"]})
    )
    ElementTree.fromstring(figures.svg(run))
    assert figures.png(run).startswith(b"\x89PNG")


PICTURE = {"mark": "point", "data": {"values": [{}]}}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "was ended by signal 6"),
        ("import sys; sys.exit(3)", "ended with exit code 3"),
        ("import sys, socket; socket.socket(fileno=int(sys.argv[1])).send(b'?\\n')", "ended with"),
        ("import time; time.sleep(60)", "did not answer in 0.5 s"),
    ],
)
def test_a_process_that_draws_and_ends_costs_a_picture_and_the_next_one_is_drawn(
    monkeypatch, tmp_path, program, why
):
    words = f"exec {sys.executable} -c {shlex.quote(program)} $4"
    (tmp_path / "python").write_text(f"#!/bin/sh\n{words}", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    pictures.close()
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "TIMEOUT", 0.5)
        patch.setattr(sys, "executable", str(tmp_path / "python"))
        with pytest.raises(pictures.PictureFailed, match=why):
            pictures.svg(PICTURE, {})
    assert pictures.svg(PICTURE, {}).startswith("<svg")
    pictures.close()


@pytest.mark.processes
def test_too_little_memory_for_the_process_that_draws_costs_the_pictures_alone(tmp_path):
    """V8 aborts its process then."""
    code = (
        "import resource, sys; from pathlib import Path; from loadtests.report import writing; "
        "from tests.support import example_runs; "
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); "
        "print(*writing.write(example_runs.single_level(), Path(sys.argv[1])).problems, sep='\\n')"
    )
    words = [sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(
        words, capture_output=True, encoding="utf-8", cwd=Path(__file__).parents[3]
    )
    assert ended.returncode == 0, ended.stderr
    said = "curves.svg could not be made: the process that draws was ended by signal"
    assert said in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {
        "run.json", "report.html", "summary.md", "junit.xml", "points.csv",
    }  # fmt: skip


def test_a_file_that_cannot_be_put_in_place_leaves_the_old_one_and_no_draft(tmp_path):
    taken = tmp_path / "run.json"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"run\.json"):
        writing.replace(taken, b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
