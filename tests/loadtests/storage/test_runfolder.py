"""A run on disk, and a disk that is full: real files, real errors of the kernel."""

import errno
import json
import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import results
from loadtests.analysis import runs
from loadtests.analysis.inputs import records
from loadtests.cli import output
from loadtests.exit_codes import USAGE
from loadtests.recording.messages import GeneratorLost, UpstreamChanged, Usage
from loadtests.storage import run_folder, saved_runs
from loadtests.storage.run_folder import RunFolder, StorageFailed
from tests.support.brownout_runs import COMMAND, PLAN, called, started
from tests.support.documents import ROOT
from tests.support.simulated_engine import SimulatedEngine, constant, stage, threads

FULL = Path("/dev/full")  # every write to it fails as on a full disk
HEADER = {"id": "a", "name": "shop", "plan": {"name": "shop"}}
SAMPLE = {"type": "sample", "at": 1.0}
PLAYED = stage(0, "shop", 4, settle=0.5, measure=1.0)

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def messages():
    engine = SimulatedEngine({"shop": threads(2, constant(0.05))})
    return [PLAYED, *engine.play(PLAYED)]


def open_files():
    return psutil.Process().num_fds()


@contextmanager
def room_for(size):
    """No file of this process grows beyond this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def message(path, number):
    """The message for a folder that cannot be written: which one, why, and the way out."""
    why = os.strerror(number)
    hint = "Choose another folder with --out."
    if number in (errno.ENOSPC, errno.EFBIG):
        hint = "Make room, or choose another folder with --out."
    return f"{path} cannot be written: {why}. {hint}"


@contextmanager
def told(path, number):
    with pytest.raises(StorageFailed) as caught:
        yield caught
    assert str(caught.value) == message(path, number)


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path, HEADER)
    yield made
    with suppress(StorageFailed):
        made.end("interrupted")


def lines(folder, name="slices.jsonl"):
    return (folder / name).read_text(encoding="utf-8").splitlines()


def types(folder):
    """The type of each complete line; the last line may be cut off."""
    *whole, last = lines(folder)
    with suppress(ValueError):
        json.loads(last)
        whole.append(last)
    return [json.loads(line)["type"] for line in whole]


def test_a_line_is_on_disk_when_the_call_returns(tmp_path, run):
    assert types(tmp_path) == ["run"]
    for number, message in enumerate(messages(), 2):
        run.write(message)
        assert len(lines(tmp_path)) == number
    run.sample(SAMPLE)
    assert lines(tmp_path, "samples.jsonl") == [json.dumps(SAMPLE)]
    run.problem("it died", "shop")
    run.end("complete")
    assert types(tmp_path)[-2:] == ["problem", "end"]


def test_the_record_equals_the_files(tmp_path, run):
    for message in messages():
        run.write(message)
    run.write(UpstreamChanged(at=1.0, text="latency 50ms → 1s", profile={"latency": "1s"}))
    run.sample(SAMPLE)
    run.problem("it died", "shop")
    run.problem("a pity")
    run.end("complete")
    assert records.read(tmp_path) == run.record
    assert run.record.dead == {"shop": "it died"}


def test_closed_files_accept_no_lines(tmp_path):
    before = open_files()
    run = RunFolder(tmp_path, HEADER)
    assert open_files() == before + 2
    run.end("complete")
    assert open_files() == before
    run.sample(SAMPLE)  # of a thread that has not heard of it
    run.problem("too late")
    run.end("complete")
    assert types(tmp_path) == ["run", "end"]
    assert lines(tmp_path, "samples.jsonl") == []


def test_a_broken_report_is_refused_and_not_written(tmp_path, run):
    run.write(PLAYED)
    with pytest.raises(ValueError, match="stage 0 was told about stage 7"):
        run.write(GeneratorLost(stage=7, generator="x", reason="gone"))
    assert types(tmp_path) == ["run", "stage"]


def in_ascii(code, *arguments):
    """What a Python prints in whose locale there is nothing but ASCII."""
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **ascii_only},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    encoding, *printed = ended.stdout.splitlines()
    assert encoding != "UTF-8"
    return printed


@pytest.mark.processes
def test_the_files_are_utf_8_whatever_the_locale_says(tmp_path):
    code = (
        "import locale, pathlib, sys; from loadtests.storage.run_folder import RunFolder;"
        "from loadtests.recording.messages import UpstreamChanged;"
        "print(locale.getpreferredencoding(False));"
        "run = RunFolder(pathlib.Path(sys.argv[1]), {'id': 'a', 'name': 'shop'});"
        "run.write(UpstreamChanged(at=1.0, text='latency 50ms \\u2192 1s', profile=None));"
        "run.end('complete')"
    )
    in_ascii(code, str(tmp_path))
    assert [one.text for one in records.read(tmp_path).changes] == ["latency 50ms → 1s"]


@pytest.mark.processes
def test_the_plan_of_a_run_is_read_as_utf_8_whatever_the_locale_says(tmp_path):
    RunFolder(tmp_path, HEADER | {"plan": {}}).end("complete")
    run_folder.write_plan(tmp_path, 'name = "café"\n')
    code = (
        "import locale, pathlib, sys; from loadtests.analysis.inputs import records;"
        "print(locale.getpreferredencoding(False));"
        "print(ascii(records.read(pathlib.Path(sys.argv[1])).header.plan['name']))"
    )
    assert in_ascii(code, str(tmp_path)) == [ascii("café")]


# A disk without room.


@needs_full
@pytest.mark.parametrize("name", ["slices.jsonl", "samples.jsonl"])
def test_a_full_disk_is_reported_with_path_reason_and_hint(tmp_path, name):
    (tmp_path / name).symlink_to(FULL)
    before = open_files()
    with told(tmp_path, errno.ENOSPC):
        run = RunFolder(tmp_path, HEADER)
        run.sample(SAMPLE)
        run.end("complete")
    assert open_files() == before


@pytest.mark.parametrize("name", ["slices.jsonl", "samples.jsonl"])
def test_a_folder_that_cannot_be_written_leaves_no_file_open(tmp_path, name):
    (tmp_path / name).mkdir()
    before = open_files()
    with told(tmp_path, errno.EISDIR):
        RunFolder(tmp_path, HEADER)
    assert open_files() == before
    with told(tmp_path / "gone", errno.ENOENT):
        RunFolder(tmp_path / "gone", HEADER)


@needs_full
def test_a_failed_sample_is_reported_by_the_next_write(tmp_path):
    (tmp_path / "samples.jsonl").symlink_to(FULL)
    run = RunFolder(tmp_path, HEADER)
    run.write(PLAYED)
    run.sample(SAMPLE)
    run.sample(SAMPLE)
    with told(tmp_path, errno.ENOSPC):
        run.write(messages()[1])
    assert len(run.record.samples) == 2
    with pytest.raises(StorageFailed):
        run.end("complete")
    assert types(tmp_path) == ["run", "stage"]


def filled(run):
    """Writes a stage, in the middle of which the disk is full."""
    parts = messages()
    room = (run.path / "slices.jsonl").stat().st_size + 2000
    with room_for(room), told(run.path, errno.EFBIG):
        for part in parts:
            run.write(part)
    assert 3 < len(types(run.path)) < len(parts)


def test_measurements_before_the_disk_became_full_are_kept(tmp_path, run):
    filled(run)
    (recorded,) = run.record.stages
    assert recorded.begun is not None
    assert {point.level for point in runs.run_of(run.record).points} == {4}
    (read,) = records.read(tmp_path).stages
    assert read.begun == recorded.begun
    assert 0 < len(read.slices) <= len(recorded.slices)


def test_nothing_is_written_after_a_gap(tmp_path, run):
    filled(run)
    before = (tmp_path / "slices.jsonl").read_bytes()
    change = UpstreamChanged(at=1.0, text="?", profile=None)
    for write in (lambda: run.problem("the disk is full"), lambda: run.write(change)):
        with told(tmp_path, errno.EFBIG):
            write()
    run.sample(SAMPLE)
    assert (tmp_path / "slices.jsonl").read_bytes() == before
    assert (tmp_path / "samples.jsonl").read_bytes() == b""
    assert run.record.problems == ["the disk is full"]
    assert (run.record.changes, run.record.samples) == ([change], [SAMPLE])


def test_files_of_a_full_disk_are_closed_with_a_message(tmp_path):
    before = open_files()
    run = RunFolder(tmp_path, HEADER)
    filled(run)
    with told(tmp_path, errno.EFBIG):
        run.end("complete")
    assert open_files() == before
    assert "end" not in types(tmp_path)
    run.sample(SAMPLE)
    run.end("complete")


# Where a run's folder is made.


def test_a_run_has_a_folder_of_its_own_with_a_place_for_logs(tmp_path):
    out = tmp_path / "not" / "there"
    made = [run_folder.make(out, "the shop, again") for _ in range(3)]
    assert len({*made}) == 3
    assert {path.parent for path in made} == {out}
    assert all((path / "logs").is_dir() for path in made)
    assert all(re.fullmatch(r"\d{8}-\d{6}-the-shop-again(-\d)?", path.name) for path in made)


@pytest.mark.parametrize("below", [".", "deeper/still"])
def test_a_folder_that_cannot_be_made_is_reported_with_a_hint(tmp_path, below):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    out = tmp_path / "taken" / below
    with told(out, errno.ENOTDIR) as caught:
        run_folder.make(out, "shop")
    assert caught.value.exit_code == USAGE
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "a file"


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@settings(max_examples=200)
@given(name=st.text(max_size=80) | st.text("./\\-_ aZ0", max_size=80))
def test_the_folder_of_a_run_is_always_inside_that_of_the_runs(out, name):
    made = run_folder.make(out, name)
    assert made.parent == out
    assert saved_runs.folder(out, made.name) == made


# The whole command.


def with_room_for(size, *words):
    """
    The command and all that it starts, whose files do not grow beyond this many bytes.

    Bytecode is a file, too: Python 3.11 keeps the half of one, and no program starts from it later.
    """
    code = (
        "import os, resource, sys;"
        "os.environ['PYTHONDONTWRITEBYTECODE'] = '1';"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", code, *words]


@pytest.mark.processes
def test_a_disk_that_becomes_full_ends_the_run_with_a_message(tmp_path):
    longer = PLAN.replace("levels = [1, 4]", "levels = [1, 2, 3, 4, 5, 6]")
    (tmp_path / "plan.toml").write_text(longer, encoding="utf-8")
    words = with_room_for(9_000, *COMMAND, "run", "plan.toml", "--out", "runs")
    with started(words, tmp_path) as invocation:
        assert invocation.end() == 3, invocation.output
    (folder,) = (tmp_path / "runs").iterdir()
    shown = Path("runs") / folder.name
    assert message(shown, errno.EFBIG) + "\n" in invocation.lines
    assert "Traceback" not in invocation.output
    assert "[1/12" in invocation.output
    assert "[12/12" not in invocation.output
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]  # half a report
    assert not [file for file in ROOT.glob("*/*/__pycache__/*.pyc") if file.stat().st_size == 9_000]

    code, again = called("report", str(folder), cwd=tmp_path)  # where there is room
    assert code == 0, again.output
    run = results.read(folder)
    assert run.status == "interrupted"
    assert {point.level for point in run.points} < {1, 2, 3, 4, 5, 6}
    assert run.points


def test_a_folder_of_runs_that_cannot_be_made_is_one_message(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    (tmp_path / "runs").write_text("a file", encoding="utf-8")
    code, invocation = called("run", "plan.toml", "--out", "runs/here", cwd=tmp_path)
    assert code == USAGE, invocation.output
    assert invocation.lines[-1] == message("runs/here", errno.ENOTDIR)
    assert (tmp_path / "runs").read_text(encoding="utf-8") == "a file"


def test_a_stage_is_put_on_disk_at_its_end_and_a_run_at_its(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(number))
    run = RunFolder(tmp_path, HEADER)
    run.write(PLAYED)
    run.sample(SAMPLE)
    assert synced == []
    run.write(Usage(stage=PLAYED.number, seconds=1.0, processes={}, rss={}, rest={}))
    assert len(set(synced)) == 2
    run.end("complete")
    assert len(synced) == 4


def test_a_stage_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    run = RunFolder(tmp_path, HEADER)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFailed, match="No space left"):
        run.end("complete")


def test_the_path_of_a_missing_report_is_not_printed(tmp_path, capsys):
    output.print_report(tmp_path)
    assert capsys.readouterr().out == ""
    (tmp_path / "report.html").touch()
    output.print_report(tmp_path)
    assert capsys.readouterr().out.strip().endswith("report.html")
