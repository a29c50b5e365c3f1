"""A run's folder from another machine can hold links, pipes and files without end."""

import os

import pytest

from loadtests import foreign_files, private_files, results
from loadtests.analysis.inputs import records
from loadtests.processes import leftovers
from loadtests.report import writing
from loadtests.results import UnreadableRun
from loadtests.storage.saved_runs import Shelf

HEADER = (
    b'{"type": "run", "format": "brownout-slices/1", "id": "a", "name": "a", "plan": {"a": 1}}\n'
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    (path / "logs").mkdir(parents=True)
    return path


def test_a_pipe_is_not_waited_for(folder):
    for name in ("run.json", "slices.jsonl", "logs/shop.pid"):
        os.mkfifo(folder / name)
    for read in (results.read, records.read):
        with pytest.raises(UnreadableRun, match="not a regular file"):
            read(folder)
    assert list(leftovers.found(folder.parent)) == []
    (folder / "slices.jsonl").unlink()
    (folder / "slices.jsonl").write_bytes(HEADER)
    os.mkfifo(folder / "samples.jsonl")
    assert records.read(folder).samples == []


def test_files_without_end_are_not_read_to_their_end(folder, monkeypatch):
    monkeypatch.setattr(foreign_files, "LARGEST", 1000)
    monkeypatch.setattr(foreign_files, "LONGEST", 1000)
    for name in ("run.json", "slices.jsonl"):
        with (folder / name).open("wb") as file:
            file.write(HEADER)
            file.truncate(1 << 40)
    with pytest.raises(UnreadableRun, match="larger than"):
        results.read(folder)
    assert Shelf(folder.parent).listed() == []
    record = records.read(folder)
    assert record.header.id == "a"
    assert "slices.jsonl: line 2 cannot be read" in record.problems[0]


def test_a_plan_that_takes_seconds_to_read_is_not_read(folder):
    (folder / "slices.jsonl").write_bytes(HEADER.replace(b', "plan": {"a": 1}', b""))
    (folder / "plan.toml").write_bytes(b"a = [" + b"1," * (1 << 20) + b"]")
    assert any("larger than 1 MB" in problem for problem in records.read(folder).problems)


def test_lines_are_numbered_and_those_without_text_left_out(tmp_path):
    (tmp_path / "lines").write_bytes(b"a\n\nb")
    assert list(foreign_files.lines(tmp_path / "lines")) == [(1, b"a\n"), (3, b"b")]


def test_a_report_that_is_written_follows_no_link_in_the_folder(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (folder / f".run.json.{os.getpid()}").symlink_to(victim)
    (folder / "run.json").symlink_to(victim)
    writing.replace(folder / "run.json", b"new")
    assert (victim.read_bytes(), (folder / "run.json").read_bytes()) == (b"mine", b"new")
    assert not (folder / "run.json").is_symlink()
    assert (folder / "run.json").stat().st_mode & 0o777 == 0o600
    private_files.write_new(folder / "run.json", b"newer")
    assert (folder / "run.json").read_bytes() == b"newer"
