"""`python -m app_under_test` as the harness and people start it: a process, its words, its end."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from app_under_test.__main__ import main
from tests.support.servers import (
    callers,
    eventually,
    ignore_interrupts,
    scripted_upstream,
    together,
)

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-m", "app_under_test"]


@contextmanager
def started(errors: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The process and its ready line. What it says on stderr goes to the file `errors`."""
    with errors.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            start_new_session=True,  # a group of its own, as under a terminal
            preexec_fn=ignore_interrupts,
        )
    with process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line, errors.read_text(encoding="utf-8")
            yield process, json.loads(line)
        finally:
            process.kill()


def test_the_ready_line_has_the_address_and_the_variant(tmp_path: Path) -> None:
    arguments = ("async-httpx2", "--upstream", "http://127.0.0.1:9/", "--threads", "3")
    with started(tmp_path / "errors", *arguments) as (process, ready):
        with callers(ready.pop("url")) as users:
            gauges = users.get("/telemetry").json()
            assert users.get("/external-data").status_code == 502
        assert ready == {"ready": True, "pid": process.pid, "variant": "async-httpx2", "workers": 1}
        assert gauges["pid"] == process.pid
        assert gauges["threads"]["total"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout
        assert process.stdout.read() == ""
    assert (tmp_path / "errors").read_text(encoding="utf-8") == ""


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_ends_supervisor_and_workers_silently(tmp_path: Path) -> None:
    """A terminal signals every process of the group, and an impatient user does it twice."""
    with scripted_upstream() as upstream:
        arguments = ("blocking-requests", "--upstream", upstream.url, "--workers", "2")
        with started(tmp_path / "errors", *arguments) as (process, ready):
            family = psutil.Process(process.pid).children(recursive=True)
            upstream.held = True
            with callers(ready["url"]) as users:
                load = users.start("/external-data", times=10)
                eventually(lambda: upstream.in_flight >= 1)
                for _ in range(2):
                    os.killpg(process.pid, signal.SIGINT)
                assert process.wait(8) == 0
                upstream.held = False
                assert all(request.exception() for request in load)
            eventually(lambda: not any(map(lives, family)))
    assert (tmp_path / "errors").read_text(encoding="utf-8") == ""


def test_it_ends_quickly_in_the_middle_of_load(tmp_path: Path) -> None:
    def check(case: str) -> None:
        variant, workers, number = case.split()
        errors = tmp_path / case
        with scripted_upstream() as upstream:
            arguments = (variant, "--upstream", upstream.url, "--workers", workers)
            with started(errors, *arguments) as (process, ready):
                family = psutil.Process(process.pid).children(recursive=True)
                upstream.held = True
                with callers(ready["url"]) as users:
                    load = users.start("/external-data", times=10)
                    eventually(lambda: upstream.in_flight >= 1)
                    process.send_signal(signal.Signals[number])
                    assert process.wait(8) == 0
                    upstream.held = False
                    for request in load:
                        assert request.exception() or request.result().status_code >= 500
                eventually(lambda: not any(map(lives, family)))
        assert errors.read_text(encoding="utf-8") == ""

    together(
        check,
        [
            "async-httpx 1 SIGTERM",
            "blocking-requests 1 SIGINT",
            "blocking-in-async 2 SIGTERM",
            "blocking-requests 2 SIGINT",
        ],
    )


def test_workers_share_one_port_and_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    arguments = ("async-aiohttp", "--upstream", "http://127.0.0.1:9", "--workers", "2")
    with started(tmp_path / "errors", *arguments) as (process, ready):
        assert ready["workers"] == 2
        assert ready["pid"] == process.pid
        seen: set[int] = set()
        with callers(ready["url"]) as users:

            def both_seen() -> bool:
                waited = [future.result() for future in users.start("/telemetry", times=20)]
                seen.update(response.json()["pid"] for response in waited)
                return len(seen) == 2

            eventually(both_seen)
        assert process.pid not in seen

        family = psutil.Process(process.pid).children(recursive=True)
        assert seen <= {child.pid for child in family}
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        eventually(lambda: not any(map(lives, family)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope", "--upstream", "http://u"], "async-httpx2"),
        (["async-httpx"], "--upstream"),
        (["async-httpx", "--upstream", "localhost:9000"], "http://127.0.0.1:9000"),
        (["async-httpx", "--upstream", "http://u:port"], "'http://u:port' is not the URL"),
        (["async-httpx", "--upstream", "http://u?x=1"], "'http://u?x=1' is not the URL"),
        (["async-httpx", "--upstream", "http://u", "--threads", "0"], "--threads (or APP_THREADS)"),
        (["async-httpx", "--upstream", "http://u", "--thread", "4"], "--thread"),
        (["async-httpx", "--upstream", "http://u", "--port", "70000"], "'70000' is not a port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_message_and_exit_code_2(
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["app_under_test", *arguments])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("error:") == 1
    assert said.out == ""


def test_a_port_in_use_is_reported_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "async-httpx", "--upstream", "http://u", "--port", port],
            capture_output=True,
            encoding="utf-8",
        )
    assert done.returncode == 2
    assert f"port {port}: Address already in use" in done.stderr
    assert "pass --port 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_without_file_descriptors_says_how_to_raise_the_limit() -> None:
    done = subprocess.run(
        [*COMMAND, "async-httpx", "--upstream", "http://u"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "app_under_test: out of file descriptors; raise the limit of open files (`ulimit -n`)"
    ]
