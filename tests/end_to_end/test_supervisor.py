"""Supervisors end what they started: when asked, when they are killed, when brownout is killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from loadtests.processes import groups, leftovers
from loadtests.processes.groups import ProcessGroup, stop
from loadtests.processes.pids import runs
from tests.support.servers import eventually

pytestmark = pytest.mark.processes

# Starts a group, prints the ids of its first process and of its supervisor, and waits.
STARTER = """
import sys, time
from pathlib import Path
from loadtests.processes import groups
groups.TIMEOUT = 0.5
group = groups.ProcessGroup(
    ["sh", "-c", sys.argv[2]], {}, None, Path(sys.argv[1]), (), ["sh", "-c", sys.argv[3]]
)
print(group.pid, group._supervisor.pid, flush=True)
time.sleep(600)
"""
# A shell below which one process ignores SIGTERM, one has a session of its own, and one lost its
# parent. Each appends its id to the log.
FAMILY = """
sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' &
setsid sh -c 'echo $$; exec sleep 600' &
(setsid sh -c 'trap "" TERM; echo $$; while :; do sleep 0.1; done' &)
echo $$
wait
"""

RUN = "exec(compile(open(SCRIPT).read(), SCRIPT, 'exec'))"


@contextmanager
def starter(
    log: Path, command: str, stop_command: str
) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process that started a group: itself, the group's first process, the supervisor."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-c", STARTER, str(log), command, stop_command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process, *map(int, process.stdout.readline().split())
        finally:
            process.kill()


def family(log: Path) -> list[int]:
    """The ids in the log, once there are four."""
    eventually(lambda: len(log.read_text(encoding="utf-8").split()) == 4)
    return [int(line) for line in log.read_text(encoding="utf-8").split()]


def test_a_starter_that_is_killed_leaves_no_descendant_and_its_stop_command_is_run(tmp_path):
    log, mark = tmp_path / "log", tmp_path / "cleaned"
    with starter(log, FAMILY, f"touch {mark}") as (process, _, supervisor):
        pids = family(log)
        assert all(map(runs, pids))
        assert (tmp_path / "log.pid").stat().st_mode & 0o777 == 0o600
        process.kill()
        eventually(lambda: not runs(supervisor))
    assert not [pid for pid in pids if runs(pid)]
    assert mark.exists()
    assert not (tmp_path / "log.pid").exists()


def test_a_supervisor_that_is_terminated_ends_its_group(tmp_path):
    group = ProcessGroup(["sleep", "600"], {}, None, tmp_path / "log")
    group._supervisor.terminate()
    assert group.wait(20) == "was killed by SIGTERM"
    stop([group])


def test_a_group_whose_supervisor_is_killed_is_ended_and_its_stop_command_is_run(tmp_path):
    mark = tmp_path / "cleaned"
    command = ["sh", "-c", "sleep 600 & echo $!; wait"]
    group = ProcessGroup(command, {}, None, tmp_path / "log", (), ["touch", str(mark)])
    eventually(lambda: (tmp_path / "log").read_text(encoding="utf-8").endswith("\n"))
    child = int((tmp_path / "log").read_text(encoding="utf-8"))
    group._supervisor.kill()
    assert group.wait(20) == "lost its supervisor, which was killed"
    assert runs(child)
    stop([group])
    assert not [pid for pid in (group.pid, child) if runs(pid)]
    assert mark.exists()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".pid"] == []


def test_a_supervisor_that_was_stopped_ends_its_group(tmp_path):
    mark = tmp_path / "cleaned"
    group = ProcessGroup(["sleep", "600"], {}, None, tmp_path / "log", (), ["touch", str(mark)])
    supervisor = psutil.Process(group._supervisor.pid)
    supervisor.suspend()
    eventually(lambda: supervisor.status() == psutil.STATUS_STOPPED)
    stop([group])
    assert group.ended() == "was killed by SIGTERM"
    assert mark.exists()


def test_a_supervisor_that_does_not_answer_is_killed_and_its_group_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "TIMEOUT", 0.2)
    monkeypatch.setattr(groups, "GIVING_UP", 0.2)
    group = ProcessGroup(["sleep", "600"], {}, None, tmp_path / "log")
    monkeypatch.setattr(group, "hang_up", lambda: None)
    stop([group])
    assert not runs(group.pid)


# Its first thread ends and the other stays: Linux calls such a process a zombie.
FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_whose_first_thread_has_ended_is_ended_too(tmp_path):
    group = ProcessGroup([sys.executable, "-c", FIRST_THREAD_ENDS], {}, None, tmp_path / "log")
    process = psutil.Process(group.pid)
    eventually(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert runs(group.pid)
    assert group.descendants() == {group.pid}
    stop([group])
    assert group.ended() == "was killed by SIGTERM"
    assert not psutil.pid_exists(group.pid)
    assert not (tmp_path / "log.pid").exists()


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGRTMIN + 3, "signal 37")]
)
def test_the_signal_that_ended_a_process_is_named(tmp_path, number, name):
    group = ProcessGroup(["sh", "-c", f"kill -{number:d} $$"], {}, None, tmp_path / "log")
    assert group.wait(20) == f"was killed by {name}"
    stop([group])


def test_a_process_that_stands_still_gets_its_sigterm(tmp_path):
    code = "trap 'echo cleaned up; exit 0' TERM; kill -STOP $$; sleep 600 & wait"
    group = ProcessGroup(["sh", "-c", code], {}, None, tmp_path / "log")
    eventually(lambda: psutil.Process(group.pid).status() == psutil.STATUS_STOPPED)
    stop([group])
    assert "cleaned up" in (tmp_path / "log").read_text(encoding="utf-8")
    assert group.ended() == "ended with exit code 0"


def test_without_linux_the_process_group_of_the_command_is_ended(tmp_path, monkeypatch):
    """Neither a subreaper nor /proc: this machine is made to look like macOS."""
    script = tmp_path / "supervisor.py"
    code = f"import os, sys; sys.platform = 'darwin'; os.path.isdir = lambda _: False; {RUN}"
    script.write_text(code.replace("SCRIPT", repr(groups.SCRIPT)), encoding="utf-8")
    monkeypatch.setattr(groups, "SCRIPT", str(script))
    monkeypatch.setattr(groups, "_prepare", lambda: None)
    monkeypatch.setattr(groups, "TIMEOUT", 0.5)
    command = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & echo $$; wait"
    mark = tmp_path / "cleaned"
    group = ProcessGroup(
        ["sh", "-c", command], {}, None, tmp_path / "log", (), ["touch", str(mark)]
    )
    eventually(lambda: len((tmp_path / "log").read_text(encoding="utf-8").split()) == 2)
    pids = [int(line) for line in (tmp_path / "log").read_text(encoding="utf-8").split()]
    stop([group])
    assert not [pid for pid in pids if runs(pid)]
    assert group.ended() == "was killed by SIGTERM"
    assert mark.exists()


def test_a_socket_that_a_process_was_given_closes_with_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address, given = listener.getsockname(), listener.fileno()
        group = ProcessGroup(["sleep", "600"], {}, None, tmp_path / "log", [given])
    try:
        socket.create_connection(address).close()
        os.kill(group.pid, signal.SIGKILL)
        assert group.wait(20) == "was killed by SIGKILL"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    finally:
        stop([group])


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv"
)
def test_a_process_that_may_not_be_ended_is_named_and_the_others_are_ended(tmp_path):
    """Its user is another one, and the supervisor may not signal processes of others."""
    code = """
import sys
from pathlib import Path
from loadtests.processes.groups import ProcessGroup, stop
import loadtests.processes.groups
loadtests.processes.groups.TIMEOUT = 0.2
folder = Path(sys.argv[1])
forbidden = ["setpriv", "--reuid=65534", "--clear-groups", "sleep", "600"]
groups = [
    ProcessGroup(words, {}, None, folder / f"{name}.log", (), ["echo", "cleaned"])
    for name, words in (("theirs", forbidden), ("ours", ["sleep", "600"]))
]
print(*[group.pid for group in groups], flush=True)
while "sleep" not in Path(f"/proc/{groups[0].pid}/comm").read_text(encoding="utf-8"):
    pass
stop(groups)
"""
    words = ["setpriv", "--bounding-set=-kill", sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=60)
    theirs, ours = map(int, ended.stdout.split())
    try:
        assert ended.returncode == 0, ended.stderr
        assert runs(theirs)
        assert not runs(ours)
        assert f"theirs: processes could not be ended: {theirs} (sleep of " in ended.stderr
        assert f"End them with: sudo kill -KILL {theirs}\n" in ended.stderr
        for name in ("theirs", "ours"):
            assert (tmp_path / f"{name}.log").read_text(encoding="utf-8") == "cleaned\n"
        assert not (tmp_path / "ours.pid").exists()
    finally:
        os.kill(theirs, signal.SIGKILL)


def test_leftovers_of_a_killed_supervisor_are_named_at_the_next_start(tmp_path):
    log = tmp_path / "20261129-120000-shop" / "logs" / "mine.log"
    command = "sleep 600 & echo $!; echo $$; wait"
    with starter(log, command, "true") as (process, pid, supervisor):
        eventually(lambda: len(log.read_text(encoding="utf-8").split()) == 2)
        pids = sorted(map(int, log.read_text(encoding="utf-8").split()))
        assert pid in pids
        assert list(leftovers.found(tmp_path)) == []  # its run goes on
        os.kill(supervisor, signal.SIGSTOP)
        process.kill()
        process.wait()
        assert list(leftovers.found(tmp_path)) == []  # its supervisor will end it
        os.kill(supervisor, signal.SIGKILL)
        eventually(lambda: not runs(supervisor))
    [sentence] = leftovers.found(tmp_path)
    assert all(map(runs, pids))
    assert sentence.startswith(
        f"An earlier run, {log.parents[1]}, was killed and left processes of mine running: "
        f"{pids[0]} (s"
    )
    kill = f"kill -KILL {' '.join(map(str, pids))}"
    file = log.with_suffix(".pid")
    assert sentence.splitlines()[1:] == [f"  {kill}", "  sh -c true", f"  rm {file}"]
    subprocess.run(kill.split(), check=True)
    eventually(lambda: not any(map(runs, pids)))
    [sentence] = leftovers.found(tmp_path)
    assert "left mine without its stop command. To end that:" in sentence
    assert sentence.splitlines()[1:] == ["  sh -c true", f"  rm {file}"]
    file.unlink()
    assert list(leftovers.found(tmp_path)) == []


def test_a_later_process_with_the_same_id_is_not_a_leftover(tmp_path):
    file = tmp_path / "run" / "logs" / "mine.pid"
    file.parent.mkdir(parents=True)
    leader = os.getsid(0)
    if not psutil.pid_exists(leader):
        pytest.skip("the session of this process has no first process")
    ended = subprocess.Popen(["true"])
    ended.wait()
    leftovers.write(file, leader, ended.pid, ())
    [sentence] = leftovers.found(tmp_path)
    assert f"{leader} (" in sentence
    file.write_text(
        file.read_text(encoding="utf-8").replace('"started": 1', '"started": 2'), encoding="utf-8"
    )
    assert list(leftovers.found(tmp_path)) == []
    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"boot": "of another machine", "pid": 1, "stop": ["x"]}']
)
def test_a_record_of_an_earlier_boot_is_ignored(tmp_path, text):
    file = tmp_path / "run" / "logs" / "mine.pid"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    assert list(leftovers.found(tmp_path)) == []
    assert file.exists()
