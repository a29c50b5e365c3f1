"""What a stage left comes to an end before the next one, and what it used is read exactly."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import pytest

from loadtests.processes import proc
from loadtests.recording.messages import RequestSpec, Stage
from loadtests.run import barrier
from loadtests.run.barrier import Barrier
from loadtests.samples import meter
from loadtests.samples.meter import Meter
from tests.support.servers import MockUpstream, eventually, mock_upstream

pytestmark = pytest.mark.processes

BURN = """
import subprocess, sys, threading, time

def burn(seconds):
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        pass

for line in sys.stdin:
    begin = time.process_time()
    exec(line, globals())
    print(time.process_time() - begin, flush=True)
"""


@dataclass
class Burner:
    """A process that does what it is told, and says how much CPU that took."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def does(self, line: str) -> float:
        assert self.process.stdin
        assert self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


@contextmanager
def burner() -> Iterator[Burner]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BURN]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        try:
            made = Burner(process)
            made.does("pass")  # it has started
            yield made
        finally:
            process.kill()


def stage(number: int = 0, deployment: str = "a") -> Stage:
    return Stage(
        number=number, deployment=deployment, target="http://127.0.0.1:1", level=1, think_time=0,
        settle=1, measure=1, seed=1,
        requests=(RequestSpec(name="/", method="GET", path="/", weight=1, timeout=1.0),),
    )  # fmt: skip


SLACK = 0.01  # seconds: the loop of a burner itself, and what a signal or two take


def test_cpu_is_read_to_the_millisecond():
    with burner() as one:
        reader = Meter(lambda: {"a": [one.pid]})
        reader.begin()
        taken = one.does("burn(0.123)")
        found = reader.end(0, "a").processes["a"][one.pid]
    assert taken <= found.cpu < taken + SLACK
    assert found.busiest == found.cpu  # one thread of Python runs at a time


def test_threads_that_ended_count():
    with burner() as one:
        reader = Meter(lambda: {"a": [one.pid]})
        reader.begin()
        line = "t = threading.Thread(target=burn, args=(0.1,)); t.start(); t.join()"
        taken = one.does(line)
        found = reader.end(0, "a").processes["a"][one.pid]
    assert 0.1 < taken <= found.cpu < taken + SLACK


def test_children_that_ended_count_once():
    with burner() as one:
        alive: list[int] = []
        reader = Meter(lambda: {"a": [one.pid, *alive]})
        program = "import time, sys\nwhile time.process_time() < 0.1: pass\nsys.stdin.read()"
        one.does(f"p = subprocess.Popen([sys.executable, '-c', {program!r}], stdin=-1)")
        alive.extend(child.pid for child in psutil.Process(one.pid).children())
        while proc.cpu_clock(alive[0]) < 0.1:
            pass
        reader.begin()  # what the child has used by now is past
        one.does("p.stdin.close(); p.wait()")
        alive.clear()
        one.does("subprocess.run([sys.executable, '-c', 'pass'])")
        own = one.does("pass")
        found = reader.end(0, "a").processes["a"][one.pid]
    assert own < found.cpu < 0.1 + SLACK + own + 0.2  # another start of Python, in ticks


def test_the_busiest_thread_counts_where_threads_run_at_the_same_time(monkeypatch):
    monkeypatch.setattr(meter, "_program", lambda process: "server")
    with burner() as one:
        one.does("stop, work, done = threading.Event(), threading.Event(), threading.Semaphore(0)")
        one.does("f = lambda s: (work.wait(), burn(s), done.release(), stop.wait())")
        one.does("[threading.Thread(target=f, args=(s,)).start() for s in (0.1, 0.2)]")
        reader = Meter(lambda: {"a": [one.pid]})
        reader.begin()
        one.does("work.set(); done.acquire(); done.acquire()")
        found = reader.end(0, "a").processes["a"][one.pid]
    assert 0.2 <= found.busiest < 0.2 + SLACK
    assert 0.3 <= found.cpu < 0.3 + 2 * SLACK


def test_cpu_without_load_is_counted_separately():
    with burner() as one, burner() as other:
        reader = Meter(lambda: {"a": [one.pid], "b": [other.pid]})
        reader.begin()
        one.does("burn(0.1)")
        other.does("burn(0.05)")
        found = reader.end(0, "a")
        assert found.rest["b"].cpu == pytest.approx(0.05, abs=SLACK)
        assert found.rest["b"].seconds == found.seconds
        assert "a" not in found.rest
        one.does("burn(0.03)")
        reader.begin()
        rest = reader.end(1, "b").rest
        assert rest["a"].cpu == pytest.approx(0.03, abs=SLACK)


def test_a_restart_does_not_count_as_rest():
    with burner() as one, burner() as other:
        pids = [one.pid]
        reader = Meter(lambda: {"a": pids, "b": []})
        reader.begin()
        before = reader.end(0, "b")
        pids[:] = [other.pid]
        reader.begin()
        found = reader.end(1, "a")
    assert found.rest["a"] == before.rest["a"]
    assert found.processes["a"].keys() == {other.pid}
    assert found.processes["a"][other.pid].cpu < SLACK


def test_a_process_that_uses_cpu_after_the_last_answer_is_waited_for(monkeypatch):
    monkeypatch.setattr(meter, "COMING_TO_REST", 60.0)
    with burner() as one:
        reader = Meter(lambda: {"a": [one.pid]})
        reader.begin()
        one.does("threading.Thread(target=burn, args=(0.15,)).start()")
        found = reader.end(0, "a").processes["a"][one.pid]
    assert found.cpu > 0.15


@contextmanager
def calls(mock: MockUpstream, count: int) -> Iterator[None]:
    """Calls at the upstream, whose client goes away at the end."""
    parts = urlsplit(mock.url)
    with ExitStack() as stack:
        for _ in range(count):
            address = parts.hostname, parts.port
            client = stack.enter_context(socket.create_connection(address))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: mock.ledger()["arrivals"] == count)
        yield


def queued(mock: MockUpstream) -> int:
    queue = mock.ledger()["queue"]
    return queue["busy"] + queue["waiting"]


def test_a_queue_that_clients_have_left_is_served_before_the_next_stage(tmp_path):
    profile = tmp_path / "p.toml"
    profile.write_text(
        'latency = "300ms"\ncapacity = { servers = 1, on_disconnect = "keep" }\n', encoding="utf-8"
    )
    with mock_upstream(str(profile)) as mock, Barrier(dict, mock.control) as between:
        between.before()
        assert between.after(stage(0)).carried is None
        between.before()
        with calls(mock, 8):
            pass
        assert queued(mock) > 1
        usage = between.after(stage(1))
        assert (usage.carried, usage.calls) == (0, 8)
        assert queued(mock) == 0
        between.before()
        usage = between.after(stage(2))
        assert (usage.carried, usage.calls) == (0, 0)


def test_calls_that_hang_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(barrier, "STILL", 0.2)
    monkeypatch.setattr(barrier, "EMPTYING", 1e6)
    profile = tmp_path / "p.toml"
    profile.write_text('[[faults]]\nfault = "hang"\n', encoding="utf-8")
    with (
        mock_upstream(str(profile)) as mock,
        Barrier(dict, mock.control) as between,
        calls(mock, 3),
    ):
        between.before()
        assert between.after(stage(0)).carried is None
        between.before()
        assert between.after(stage(1)).carried == 0


def test_unfinished_calls_are_reported_to_the_next_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(barrier, "EMPTYING", 0.2)
    profile = tmp_path / "p.toml"
    profile.write_text(
        'latency = "100s"\ncapacity = { servers = 1, on_disconnect = "keep" }\n', encoding="utf-8"
    )
    with mock_upstream(str(profile)) as mock, Barrier(dict, mock.control) as between:
        between.before()
        with calls(mock, 3):
            pass
        assert between.after(stage(0)).carried is None
        between.before()
        assert between.after(stage(1)).carried == 3


def test_an_upstream_without_information_is_not_waited_for():
    between = Barrier(dict, "http://127.0.0.1:1")
    between.before()
    usage = between.after(stage())
    assert (usage.carried, usage.calls) == (None, None)
