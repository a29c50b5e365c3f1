"""What threads of services do, as a process that looks at them from outside counts it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from loadtests.watcher import canary, states
from loadtests.watcher.process import Watcher
from loadtests.watcher.threads import Threads
from tests.support.servers import eventually, mock_upstream
from tests.support.watched_service import WORKERS

LOOKS = 200


@contextmanager
def service(kind: str, upstream: str = "") -> Iterator[tuple[int, str]]:
    """Its process id and its address, once it answers."""
    words = [sys.executable, "-m", "tests.support.watched_service", kind, upstream]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/"

            def answers() -> bool:
                with suppress(OSError), urlopen(url) as answer:
                    return bool(answer.read())
                return False

            eventually(answers)
            yield process.pid, url
        finally:
            process.kill()


@contextmanager
def asked(url: str, callers: int) -> Iterator[None]:
    """A number of callers ask again and again."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            with urlopen(url) as answer:
                answer.read()

    threads = [threading.Thread(target=ask) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def seen(watcher: Watcher, looks: int = LOOKS) -> tuple[Counter[str], Counter[str], int, int]:
    """
    Looks at the main thread by state, at the others, the number of sweeps, and the most that were
    busy at once.
    """
    main, others, sweeps, most = Counter[str](), Counter[str](), 0, 0

    def enough() -> bool:
        nonlocal sweeps, most
        for quarter in watcher.take().get("threads", ()):
            for one in quarter["processes"].values():
                main.update(one["main"])
                others.update(one["others"])
                sweeps, most = sweeps + one["sweeps"], max(most, one["most"])
        return main.total() >= looks and sweeps >= looks / 10

    eventually(enough)
    return main, others, sweeps, most


def under_load(
    kind: str, callers: int, busy: int = 0
) -> tuple[Counter[str], Counter[str], int, int]:
    """What is seen once this many threads were busy at the same time."""

    def full() -> bool:
        quarters = watcher.take().get("threads", ())
        return any(one["most"] >= busy for q in quarters for one in q["processes"].values())

    with (
        mock_upstream("--latency", "50ms") as upstream,
        service(kind, f"{upstream.url}/x") as (pid, url),
        Watcher(lambda: {"a": [pid]}) as watcher,
    ):
        watcher.watch("a")
        seen(watcher, 10)
        with asked(url, callers):
            with urlopen(url):
                watcher.take()
            eventually(full)
            return seen(watcher)


linux = pytest.mark.skipif(
    states.calls() is None or not sys.platform.startswith("linux"),
    reason="the numbers of system calls are not known here",
)


@linux
@pytest.mark.processes
@pytest.mark.parametrize(
    ("kind", "mostly"),
    [("sleep", states.SLEEPS), ("requests", states.SOCKET), ("cpu", states.COMPUTES)],
)
def test_a_blocked_loop_is_seen_in_the_blocking_call(kind, mostly):
    main, others, _, _ = under_load(kind, 4)
    right = main[mostly] + main[states.COMPUTES]
    assert right >= 0.95 * main.total()
    assert main[mostly] > main.total() / 4  # one that has no core computes, as it is counted
    assert not others


@linux
@pytest.mark.processes
def test_a_loop_that_awaits_is_never_asleep_nor_at_a_socket():
    main, _, _, most = under_load("idle", 4)
    assert main[states.EVENTS] + main[states.COMPUTES] >= 0.95 * main.total()
    assert main[states.EVENTS] > main.total() / 10
    assert most == 0


@linux
@pytest.mark.processes
def test_busy_threads_are_as_many_as_there_are():
    main, others, sweeps, most = under_load("threads", 3 * WORKERS, WORKERS)
    assert most == WORKERS
    busy = sum(others[state] for state in states.BUSY)
    assert busy >= 0.8 * WORKERS * sweeps
    assert others[states.SOCKET] + others[states.COMPUTES] + others[states.LOCK] >= 0.95 * (
        others.total()
    )
    assert main[states.SLEEPS] + main[states.SOCKET] + main[states.POLL] <= 0.05 * main.total()


@linux
@pytest.mark.processes
def test_a_server_without_a_loop_is_never_seen_to_wait_for_events():
    main, _, _, _ = under_load("accept", 2)
    assert main[states.EVENTS] == 0


@pytest.mark.processes
@linux
def test_the_kernel_function_and_the_system_call_agree():
    """Where the calls of others may not be read."""
    code = "\n".join(
        [
            "import select, socket, threading, time",
            "a, b = socket.socketpair()",
            "server = socket.create_server(('127.0.0.1', 0))",
            "c = socket.create_connection(server.getsockname()); kept = server.accept()",
            "lock = threading.Lock(); lock.acquire()",
            "work = [lambda: time.sleep(60), lambda: a.recv(1), lambda: c.recv(1), lock.acquire,",
            "        lambda: select.epoll().poll(), lambda: select.poll().poll(60000),",
            "        lambda: select.select([a], [], []), server.accept]",
            "threads = [threading.Thread(target=one, daemon=True) for one in work]",
            "[thread.start() for thread in threads]",
            "print(*(thread.native_id for thread in threads), flush=True)",
            "time.sleep(60)",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            ids = [int(word) for word in process.stdout.readline().split()]
            by_call, by_function = Threads(process.pid), Threads(process.pid, None)

            def told(threads: Threads) -> list[str]:
                return [threads._state(thread) for thread in ids]

            expected = [
                *(states.SLEEPS, states.SOCKET, states.SOCKET, states.LOCK),
                *(states.EVENTS, states.SLEEPS, states.POLL, states.ACCEPT),
            ]
            eventually(lambda: told(by_call) == expected)
            # Which descriptors `poll` has is an argument of the call alone.
            expected[5] = states.POLL
            assert told(by_function) == expected
            assert (by_call.denied, bool(by_function.denied)) == ("", True)
        finally:
            process.kill()


@pytest.mark.processes
@linux
def test_a_thread_that_sleeps_without_load_is_not_a_worker():
    code = (
        "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe) as process:
        try:
            eventually(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 2)
            threads = Threads(process.pid)
            eventually(lambda: _sleeps_once(threads))
            threads.rest()
            threads.take()
            threads.sweep()
            assert threads.take()["others"] == {}
        finally:
            process.kill()


def _sleeps_once(threads: Threads) -> bool:
    """Whether the only thread sleeps: one that is on its way there computes, which also is work."""
    threads.refresh()
    threads.sweep()
    return threads.take()["others"] == {states.SLEEPS: 1}


@pytest.mark.processes
def test_the_canary_works_on_each_core_in_turn_and_the_process_ends_with_its_starter():
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    code = "\n".join(
        [
            "import json, time",
            "from loadtests.watcher.process import Watcher",
            f"watcher = Watcher(lambda: {{}}, {cores}).__enter__()",
            "found = []",
            f"while len(found) < {len(cores) + 1}:",
            "    found += watcher.take().get('canary', []); time.sleep(0.05)",
            "print(json.dumps([watcher.pids, found]), flush=True)",
            "time.sleep(60)",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        [pid], found = json.loads(process.stdout.readline())
        assert {one["core"] for one in found} == (set(cores) or {None})
        assert all(1e-5 < one["seconds"] < 0.1 for one in found)
        os.kill(pid, 0)
        process.kill()
    eventually(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:  # a zombie of another parent
        return file.read().rpartition(b") ")[2][:1] != b"Z"
    return True


@pytest.mark.processes
def test_an_ended_watcher_is_reported_once_and_invalidates_nothing():
    with Watcher(lambda: {"a": [os.getpid()]}) as watcher:
        watcher.watch("a")
        [pid] = watcher.pids
        os.kill(pid, 9)
        eventually(lambda: not _runs(pid) or watcher._process.poll() is not None)
        watcher.watch("a")
        assert watcher.take().keys() <= {"threads", "canary"}
    assert "has ended" in (watcher.problem() or "")
    with Watcher(dict) as watcher:
        pass
    assert watcher.problem() is None


@pytest.mark.processes
def test_the_watching_process_imports_the_standard_library_alone():
    code = "import sys; from loadtests.watcher import child; print(*sys.modules)"
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({root!r}); {code}"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout.split()
    first = {name.partition(".")[0] for name in found} - {"loadtests", "__main__"}
    assert {one for one in first - sys.stdlib_module_names if not one.startswith("__")} == set()


def no_socket(descriptor: int) -> bool:
    return False


@pytest.mark.parametrize(
    ("machine", "lines"),
    [
        ("x86_64", [b"230 0x1", b"232 0x5", b"7 0x7f 0x1 0x64", b"45 0x5", b"202 0x7f", b"43 0x3"]),
        (
            "aarch64",
            [b"115 0x1", b"22 0x5", b"73 0x7f 0x1 0x0", b"207 0x5", b"98 0x7f", b"202 0x3"],
        ),
    ],
)
def test_calls_are_known_by_their_numbers_on_each_architecture(machine, lines):
    table = states.calls(machine)
    assert table
    found = [states.of_call(line + b" 0x0 0x0\n", table, no_socket) for line in lines]
    assert found == ["sleeps", "events", "poll", "socket", "lock", "accept"]
    assert states.of_call(b"running\n", table, no_socket) == "computes"
    assert states.of_call(b"-1 0x7ffd 0x7f\n", table, no_socket) == "other"


def test_reading_a_file_is_not_reading_a_socket():
    table = states.calls("x86_64")
    assert table
    line = b"0 0x5 0x7f 0x100 0x0 0x0 0x0 0x7f 0x7f\n"
    assert states.of_call(line, table, lambda descriptor: descriptor == 5) == "socket"
    assert states.of_call(line, table, lambda descriptor: descriptor == 6) == "other"


def test_a_select_or_poll_of_nothing_is_a_sleep():
    table = states.calls("x86_64")
    assert table
    assert states.of_call(b"23 0x0 0x0 0x0 0x0 0x7f\n", table, no_socket) == "sleeps"
    assert states.of_call(b"23 0x6 0x7f 0x0 0x0 0x0\n", table, no_socket) == "poll"
    assert states.of_call(b"7 0x0 0x0 0x64\n", table, no_socket) == "sleeps"


def test_an_unknown_architecture_has_no_table():
    assert states.calls("riscv64") is None


def test_the_canary_counts_cpu_and_not_the_clock():
    begin = time.thread_time()
    laps = [canary.work() for _ in range(3)]
    assert sum(laps) <= time.thread_time() - begin
