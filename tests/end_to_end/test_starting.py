"""Mock, deployments and Locust start side by side; what fails is said, and nothing is left."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import httpx
import psutil
import pytest

from loadtests import plans, session
from loadtests.processes import leftovers
from loadtests.run import waiting
from loadtests.run.deployments import running
from loadtests.run.engine_process import LocustfileError
from loadtests.run.waiting import DeploymentFailed
from tests.support.servers import LONGEST_WAIT, eventually

pytestmark = pytest.mark.processes

SERVE = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
CALLS_FIRST = """
import http.server, sys, urllib.request
print("the upstream answers", urllib.request.urlopen(sys.argv[2], timeout=300).status, flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
"""


class Quiet:
    """An observer that says nothing."""

    def begins(self, step, number, of, seconds_left) -> None: ...

    def measured(self, point) -> None: ...

    def problem(self, text) -> None: ...


def plan_of(command: list[str]) -> plans.Plan:
    return plans.Plan.model_validate(
        {
            "name": "x",
            "deployments": {"mine": {"command": command, "ready": "/"}},
            "requests": [{"path": "/"}],
            "load": {"levels": [1], "settle": "250ms", "measure": "1s"},
        }
    )


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code, "{port}", "{upstream}"]


def children() -> list[psutil.Process]:
    """The processes that this one has started and that still run."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = children()
    yield
    assert [one for one in children() if one not in before] == []


def test_locust_starts_before_mock_and_deployments_are_ready(tmp_path, monkeypatch):
    wait = waiting.all_ready

    def words() -> set[str]:
        return {word for one in children() for word in one.cmdline()}

    def all_started(*args):
        eventually(lambda: {"mock_upstream", "http.server", "loadtests.engine"} <= words())
        return wait(*args)

    monkeypatch.setattr(waiting, "all_ready", all_started)
    outcome = session.run(plan_of(SERVE), tmp_path, Quiet(), [])
    assert outcome.run.status == "complete"


def test_nothing_heavy_is_imported_before_everything_has_been_started(tmp_path):
    code = """
import sys
from loadtests.cli import commands
from loadtests.run import deployments
def launched(*_, **__):
    print([name for name in ("numpy", "scipy", "jinja2", "vl_convert") if name in sys.modules])
    sys.exit(0)
deployments.launched = launched
sys.argv[1:] = ["run", "quick", "--out", sys.argv[1]]
commands.app()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    printed = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=LONGEST_WAIT, check=True
    ).stdout
    assert printed.splitlines()[-1] == "[]"


def test_leftover_processes_of_an_earlier_run_are_named_before_the_start(
    tmp_path, monkeypatch, caplog
):
    logged = []

    def found(out):
        yield f"left in {out}"

    def launched(*_, **__):
        logged.extend(caplog.messages)
        return nullcontext()

    monkeypatch.setattr(leftovers, "found", found)
    monkeypatch.setattr(session, "launched", launched)
    (tmp_path / "run").mkdir()
    with session._launched(plan_of(SERVE), tmp_path / "run"):
        pass
    assert logged == [f"left in {tmp_path}"]


def test_a_deployment_that_calls_the_upstream_at_once_waits_for_it(tmp_path):
    with running(plan_of(python(CALLS_FIRST)), tmp_path) as fleet:
        ledger = httpx.get(f"{fleet.mock.control}/ledger").json()
    assert ledger["arrivals"] == 1
    assert "the upstream answers 200" in (tmp_path / "logs" / "mine.log").read_text(
        encoding="utf-8"
    )


def test_a_deployment_that_fails_ends_the_start_of_locust(tmp_path):
    with pytest.raises(DeploymentFailed, match=r"'mine' ended with exit code 7 while starting"):
        session.run(plan_of(python("raise SystemExit(7)")), tmp_path, Quiet(), [])


def test_if_both_fail_the_deployment_is_named(tmp_path):
    with pytest.raises(DeploymentFailed, match="exit code 7"):
        session.run(plan_of(python("raise SystemExit(7)")), tmp_path, Quiet(), ["--no-such"])


def test_a_failing_locust_ends_the_deployments_and_its_last_lines_are_shown(tmp_path):
    with pytest.raises(LocustfileError, match=r"(?s)with these options\..*--no-such"):
        session.run(plan_of(SERVE), tmp_path, Quiet(), ["--no-such"])


def test_a_mock_that_fails_is_named_and_not_the_deployment_that_waits_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # no Python starts
    with pytest.raises(DeploymentFailed, match="the mock upstream ended"):
        session.run(plan_of(["sh", "-c", "sleep 60", "{port}"]), tmp_path, Quiet(), [])


# A signal within socket.create_connection leaves the socket to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_all_of_them_start_leaves_nothing_behind(tmp_path, number):
    others = len(children())

    def interrupt() -> None:
        # Mock, deployment, Locust, and the supervisor of each.
        eventually(lambda: len(children()) >= others + 6)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        session.run(plan_of(python("import time; time.sleep(600)")), tmp_path, Quiet(), [])
    thread.join()


def serve(*options: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mock_upstream", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        pass_fds=pass_fds,
    )


def test_the_mock_serves_on_sockets_that_it_inherits():
    with (
        socket.create_server(("127.0.0.1", 0)) as data,
        socket.create_server(("127.0.0.1", 0)) as control,
    ):
        fds = data.fileno(), control.fileno()
        options = ["--fd", str(fds[0]), "--control-fd", str(fds[1])]
        process = serve(*options, pass_fds=fds)
        ports = [one.getsockname()[1] for one in (data, control)]
    with process:
        # Nothing has been said yet, and the connection waits.
        assert httpx.get(f"http://127.0.0.1:{ports[0]}", timeout=LONGEST_WAIT).json() == {
            "ok": True
        }
        ledger = httpx.get(f"http://127.0.0.1:{ports[1]}/ledger", timeout=LONGEST_WAIT).json()
        assert ledger["arrivals"] == 1
        process.terminate()
        assert process.wait(LONGEST_WAIT) == 0


@pytest.mark.parametrize("option", ["--fd", "--control-fd"])
def test_a_descriptor_that_is_no_listening_socket_is_refused(option, tmp_path):
    one, other = socket.socketpair()
    with (
        (tmp_path / "file").open("w", encoding="utf-8") as file,
        socket.socket() as idle,
        one,
        other,
    ):
        for descriptor in (file.fileno(), idle.fileno(), one.fileno(), 987, -1):
            fds = (descriptor,) if 0 <= descriptor < 987 else ()
            with serve(option, str(descriptor), pass_fds=fds) as process:
                _, told = process.communicate(timeout=LONGEST_WAIT)
            assert process.returncode == 2, told
            assert told.startswith(f"mock_upstream: {option} {descriptor} "), told
            assert "Traceback" not in told


def test_an_inherited_control_socket_that_others_reach_needs_a_token():
    with socket.create_server(("0.0.0.0", 0)) as control:
        fd = control.fileno()
        with serve("--control-fd", str(fd), pass_fds=(fd,)) as process:
            _, told = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode == 2
    assert "--control-token" in told


def test_a_full_disk_is_named_if_a_program_cannot_write_its_log(tmp_path, monkeypatch):
    room = os.statvfs(tmp_path)
    values = {name: getattr(room, name) for name in dir(room) if name.startswith("f_")}
    full = SimpleNamespace(**(values | {"f_bavail": 0}))
    plan = plan_of(python("raise SystemExit(7)"))
    for there, told in ((room, False), (full, True)):
        monkeypatch.setattr(os, "statvfs", lambda _, there=there: there)
        with pytest.raises(DeploymentFailed) as failed, running(plan, tmp_path):
            pass
        assert ("Its disk is full" in str(failed.value)) == told
