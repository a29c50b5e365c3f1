"""Deployments: real processes that come up, are watched, and are all gone afterwards."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

import mock_upstream
from loadtests import plans
from loadtests.processes import groups, listeners
from loadtests.processes.affinity import Cores
from loadtests.processes.groups import ProcessGroup, stop, uninterrupted
from loadtests.processes.readiness import announced
from loadtests.run import starter
from loadtests.run.deployments import Fleet, running
from loadtests.run.starter import RunningMock
from loadtests.run.waiting import DeploymentFailed
from tests.support.servers import eventually, scripted_upstream

pytestmark = pytest.mark.processes

SERVE = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]


def plan_of(**tables: dict[str, object]) -> plans.Plan:
    """A plan with these deployments; a command is asked for / unless it says otherwise."""
    for table in tables.values():
        if "command" in table:
            table.setdefault("ready", "/")
    requests = [{"path": "/external-data"}]
    return plans.Plan.model_validate({"name": "x", "deployments": tables, "requests": requests})


def python(code: str) -> list[str]:
    """A command that runs the code, with the port as its first argument."""
    return [sys.executable, "-c", code, "{port}"]


def run(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be forgotten."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_of(fleet: Fleet) -> list[int]:
    return [pid for pids in fleet.processes().values() for pid in pids]


@pytest.fixture(scope="module")
def lent() -> Iterator[RunningMock]:
    """A mock that runs already, for tests that are about a deployment alone."""
    with mock_upstream.running("0ms") as upstream:
        yield RunningMock(upstream.url, upstream.control, upstream.pid)


def test_deployments_respond_through_the_upstream_and_end_with_the_block(tmp_path):
    command = "python -m app_under_test async-httpx2 --upstream {upstream} --port {port}"
    plan = plan_of(
        variant={"variant": "async-httpx", "settings": {"workers": 2}, "env": {"A": "{upstream}"}},
        command={"command": command, "ready": "/health"},
    )
    with running(plan, tmp_path) as fleet:
        for one in fleet.deployments.values():
            assert httpx.get(f"{one.url}/external-data").json() == {"ok": True}
        ledger = httpx.get(f"{fleet.mock.control}/ledger").json()
        assert ledger["arrivals"] == 2
        assert set(fleet.processes()) == {"mock", "variant", "command"}
        assert len(fleet.processes()["variant"]) >= 3  # two workers, and who watches over them
        assert fleet.dead() == {}
        told = fleet.gauges.environment("variant")
        assert fleet.deployments["variant"].env == {"A": fleet.mock.url, **told}
        assert fleet.deployments["command"].how["argv"][0] == sys.executable
        assert "--workers" in fleet.deployments["variant"].argv
        if fleet.cores.pinned:
            for pid in fleet.processes()["variant"]:
                assert set(psutil.Process(pid).cpu_affinity()) == fleet.cores.apps
        pids = all_of(fleet)
    assert not [pid for pid in pids if run(pid)]
    assert '"ready": true' in (tmp_path / "logs" / "variant.log").read_text(encoding="utf-8")


def test_a_token_in_the_environment_does_not_close_the_mock_to_the_harness(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCK_UPSTREAM_CONTROL_TOKEN", "for-another-mock")
    with running(plan_of(mine={"command": SERVE}), tmp_path) as fleet:
        assert httpx.get(f"{fleet.mock.control}/ledger").status_code == 200
        mine = psutil.Process(fleet.deployments["mine"].pid)
        assert mine.environ()["MOCK_UPSTREAM_CONTROL_TOKEN"] == "for-another-mock"


def test_telemetry_is_requested_of_every_process_unless_the_plan_turns_it_off(
    tmp_path,
):
    own = {"command": SERVE, "env": {"BROWNOUT_TELEMETRY": "1"}}
    with running(plan_of(asked={"command": SERVE}, own=own), tmp_path) as fleet:
        told = {
            name: psutil.Process(one.pid).environ()["BROWNOUT_TELEMETRY"]
            for name, one in fleet.deployments.items()
        }
        assert told == {
            "asked": fleet.gauges.environment("asked")["BROWNOUT_TELEMETRY"],
            "own": "1",
        }
        assert fleet.deployments["asked"].how["env"]["BROWNOUT_TELEMETRY"] == told["asked"]
        assert "BROWNOUT_TELEMETRY" not in psutil.Process(fleet.mock.pid).environ()


def test_no_telemetry_is_requested_when_it_is_off_regardless_of_the_environment(
    lent, tmp_path, monkeypatch
):
    monkeypatch.setenv("BROWNOUT_TELEMETRY", "1")
    plan = plans.altered(plan_of(mine={"command": SERVE}), telemetry=False)
    with running(plan, tmp_path, lent=lent) as fleet:
        assert fleet.gauges is None
        mine = fleet.deployments["mine"]
        assert "BROWNOUT_TELEMETRY" not in psutil.Process(mine.pid).environ()
        assert "env" not in mine.how


def test_only_chosen_deployments_are_started(lent, tmp_path):
    plan = plan_of(a={"command": SERVE}, b={"command": python("raise SystemExit('never')")})
    with running(plan, tmp_path, only=["a"], lent=lent) as fleet:
        assert set(fleet.processes()) == {"mock", "a"}


def test_a_service_that_runs_already_is_left_alone(lent, tmp_path):
    with scripted_upstream() as service:
        plan = plan_of(there={"url": service.url})
        with running(plan, tmp_path, lent=lent) as fleet:
            assert fleet.deployments["there"].url == service.url
            assert fleet.deployments["there"].pid is None
        assert service.paths == []
        assert httpx.get(service.url).json() == {"ok": True}


def test_a_service_that_does_not_run_is_reported_at_once(lent, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (
        pytest.raises(
            DeploymentFailed,
            match=rf"'there' did not .* connecting to {url} failed: ",
        ),
        running(plan_of(there={"url": url}), tmp_path, lent=lent),
    ):
        pass


def test_a_command_that_ends_is_reported_with_its_last_lines_and_stops_the_others(tmp_path):
    code = "print('\\n'.join('line %d' % n for n in range(9))); raise SystemExit(3)"
    plan = plan_of(fine={"command": SERVE}, broken={"command": python(code)})
    before = psutil.Process().children(recursive=True)
    with pytest.raises(DeploymentFailed) as caught, running(plan, tmp_path):
        pass
    message = str(caught.value)
    assert message.startswith("deployment 'broken' ended with exit code 3 while starting.")
    said = "".join(f"\n  line {n}" for n in range(4, 9))
    log = tmp_path / "logs" / "broken.log"
    assert f"\nIts last words:{said}\nThe whole log: {log}\n" in message
    assert "To try it by hand: " in message
    started = set(psutil.Process().children(recursive=True)) - set(before)
    assert not [child for child in started if run(child.pid)]


def test_a_command_that_never_responds_ends_by_a_timeout(tmp_path):
    plan = plan_of(
        mute={"command": python("import time; time.sleep(60)"), "ready_timeout": "300ms"},
        fine={"command": SERVE},
    )
    with (
        pytest.raises(DeploymentFailed, match=r"'mute' did not become ready in 0.3 s: GET http"),
        running(plan, tmp_path),
    ):
        pass
    plan = plan_of(wrong={"command": SERVE, "ready": "/nothing-here", "ready_timeout": "3s"})
    with (
        pytest.raises(DeploymentFailed, match=r"/nothing-here is answered 404"),
        running(plan, tmp_path),
    ):
        pass


def test_a_port_in_use_is_named_as_the_cause(lent, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket; socket.create_server(('127.0.0.1', {port}))"
        plan = plan_of(fixed={"command": python(code)})
        with (
            pytest.raises(DeploymentFailed, match=r"A port that it wants is in use: .*\{port\}"),
            running(plan, tmp_path, lent=lent),
        ):
            pass


def test_a_missing_program_is_named(tmp_path):
    plan = plan_of(typo={"command": "uvicron shop.main:app --port {port}", "stop": "touch {port}"})
    with (
        pytest.raises(DeploymentFailed, match=r"'typo' cannot be started: No such file .*uvicron"),
        running(plan, tmp_path),
    ):
        pass


def test_ended_processes_are_reported_with_their_last_lines(tmp_path):
    with running(plan_of(mine={"command": SERVE}), tmp_path) as fleet:
        mine = fleet.deployments["mine"]
        httpx.get(f"{mine.url}/last-request")
        os.kill(mine.pid, signal.SIGKILL)
        eventually(fleet.dead)
        dead = fleet.dead()
        assert set(dead) == {"mine"}
        assert dead["mine"].startswith("deployment 'mine' was killed by SIGKILL.")
        assert "/last-request" in dead["mine"]
        os.kill(fleet.mock.pid, signal.SIGKILL)
        eventually(lambda: "mock" in fleet.dead())


def test_the_stop_command_is_run_last(lent, tmp_path):
    code = (
        "import sys, socket; socket.create_server(('127.0.0.1', int(sys.argv[1]))); print('free')"
    )
    plan = plan_of(mine={"command": SERVE, "stop": python(code)})
    with running(plan, tmp_path, lent=lent):
        pass
    assert (tmp_path / "logs" / "mine.log").read_text(encoding="utf-8").endswith("free\n")


def test_a_failing_stop_command_is_reported(lent, tmp_path, caplog):
    plan = plan_of(
        a={"command": SERVE, "stop": python("raise SystemExit('left a container behind')")},
        b={"command": SERVE, "stop": "no-such-program"},
    )
    with running(plan, tmp_path, lent=lent):
        pass
    assert "left a container behind" in caplog.text
    assert "the stop command of b cannot be run" in caplog.text


def test_a_restarted_deployment_is_checked_at_its_own_port(lent, tmp_path):
    plan = plan_of(**{"a": {"variant": "async-aiohttp"}, "a-2": {"variant": "async-aiohttp"}})
    with running(plan, tmp_path, lent=lent) as fleet:
        urls = {name: one.url for name, one in fleet.restart().items()}
        for name, url in urls.items():
            assert httpx.get(f"{url}/health").is_success
            pids = fleet.processes()[name]
            assert listeners.stranger("127.0.0.1", int(url.rpartition(":")[2]), pids) is None
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "a.log",
        "a~2.log",
        "a-2.log",
        "a-2~2.log",
    }


def test_a_ready_line_of_an_earlier_start_in_the_same_log_does_not_count(tmp_path):
    log = tmp_path / "a.log"
    log.write_text('{"ready": true, "url": "http://127.0.0.1:1"}\n', encoding="utf-8")
    ask = announced(log)
    assert ask() == "it has not said that it is ready"
    with log.open("a", encoding="utf-8") as opened:
        opened.write('{"ready": true, "url": "http://127')
        opened.flush()
        assert ask() == "it has not said that it is ready"
        opened.write('.0.0.1:2"}\n')
    assert ask() == {"ready": True, "url": "http://127.0.0.1:2"}


def test_a_proxy_of_the_environment_does_not_get_the_calls_to_the_mock(lent, tmp_path, monkeypatch):
    calls = (
        "import http.server, sys, urllib.request\n"
        "print('the upstream answers', urllib.request.urlopen(sys.argv[2]).status, flush=True)\n"
        "http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]))"
    )
    with scripted_upstream() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        plan = plan_of(mine={"command": [*python(calls), "{upstream}"]})
        with running(plan, tmp_path, lent=lent) as fleet:
            assert fleet.deployments["mine"].env["NO_PROXY"] == "127.0.0.1,localhost,::1"
        assert proxy.paths == []
    assert "the upstream answers 200" in (tmp_path / "logs" / "mine.log").read_text(
        encoding="utf-8"
    )


def test_another_process_on_the_port_is_named_and_gets_no_secret_of_the_plan(
    lent, tmp_path, monkeypatch
):
    with scripted_upstream() as other:
        port = int(other.url.rpartition(":")[2])
        monkeypatch.setattr(starter.Starter, "_free_port", lambda *_: port)
        late = {"command": python("import time; time.sleep(60)")}
        with (
            pytest.raises(DeploymentFailed) as caught,
            running(plan_of(mine=late), tmp_path, lent=lent),
        ):
            pass
        said = f"'mine' was given port {port}, but process {os.getpid()} ("
        assert said in str(caught.value)
        assert "check_listener = false" in str(caught.value)
        assert other.paths == []  # not even the question whether it is ready
        late["check_listener"] = False
        with running(plan_of(mine=late), tmp_path, lent=lent) as fleet:
            assert fleet.deployments["mine"].url == f"http://127.0.0.1:{port}"


def test_a_service_in_a_session_of_its_own_belongs_to_its_command(lent, tmp_path):
    words = ["sh", "-c", f"setsid {' '.join(SERVE)} & sleep 600"]
    with running(plan_of(mine={"command": words}), tmp_path, lent=lent) as fleet:
        assert httpx.get(fleet.deployments["mine"].url).is_success
    with pytest.raises(httpx.ConnectError):
        httpx.get(fleet.deployments["mine"].url)


STUBBORN = """
import os, signal, socket, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
if len(sys.argv) > 2:
    for left in range(int(sys.argv[2])):
        subprocess.Popen([sys.executable, "-c", sys.argv[3], "0"], start_new_session=left > 0)
print("up", flush=True)
time.sleep(60)
"""


def test_processes_that_will_not_end_are_forced_and_so_are_those_that_left_the_group(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(groups, "TIMEOUT", 1.0)
    words = [sys.executable, "-c", STUBBORN, "0", "2", STUBBORN]
    group = ProcessGroup(words, {}, None, tmp_path / "log")
    try:
        eventually(lambda: (tmp_path / "log").read_text(encoding="utf-8").count("up") == 3)
        family = [group.pid, *(c.pid for c in psutil.Process(group.pid).children(recursive=True))]
        assert len(family) == 3
    finally:
        stop([group])
    assert group.ended() == "was killed by SIGKILL"
    assert not [pid for pid in family if run(pid)]


def test_children_that_outlive_their_parent_are_stopped(tmp_path):
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)"
    )
    words = [sys.executable, "-c", code, "import time; time.sleep(60)"]
    group = ProcessGroup(words, {}, None, tmp_path / "log")
    assert group.wait(20) == "ended with exit code 0"
    orphan = int((tmp_path / "log").read_text(encoding="utf-8"))
    assert run(orphan)
    stop([group])
    assert not run(orphan)


@pytest.mark.parametrize("in_thread", [False, True])
def test_started_processes_do_not_inherit_ignored_signals(tmp_path, in_thread):
    code = "import signal as s; print(s.getsignal(s.SIGINT) is s.SIG_IGN, s.getsignal(s.SIGHUP))"
    log = tmp_path / "log"
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGHUP)}

    def start() -> None:
        group = ProcessGroup([sys.executable, "-c", code], {}, None, log)
        assert group.wait(20) == "ended with exit code 0"
        stop([group])

    try:
        if in_thread:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(start).result()
        else:
            start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert log.read_text(encoding="utf-8") == "False 0\n"


@pytest.mark.parametrize("phase", ["mock", "command"])
def test_an_interrupt_in_the_middle_of_starting_leaves_nothing_behind(tmp_path, monkeypatch, phase):
    started: list[ProcessGroup] = []

    class Interrupted(ProcessGroup):
        """Ctrl-C comes at the worst moment: the process is there, nobody knows of it yet."""

        def __init__(self, argv, env, cwd, log: Path, *descriptors) -> None:
            super().__init__(argv, env, cwd, log, *descriptors)
            started.append(self)
            if log.stem == phase:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(starter, "ProcessGroup", Interrupted)
    plan = plan_of(command={"command": python("import time; time.sleep(60)")})
    with pytest.raises(KeyboardInterrupt), running(plan, tmp_path):
        pass
    assert [group.log.stem for group in started][-1] == phase
    assert not [group for group in started if run(group.pid)]


@pytest.mark.usefixtures("no_collections")
def test_an_interrupt_while_waiting_leaves_nothing_behind(tmp_path):
    marker = tmp_path / "pid"
    code = f"import os, time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    plan = plan_of(mute={"command": python(code)})

    def interrupt() -> None:
        eventually(lambda: marker.exists() and marker.read_text(encoding="utf-8"))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt), running(plan, tmp_path):
        pass
    thread.join()
    assert not run(int(marker.read_text(encoding="utf-8")))


def test_a_signal_waits_for_the_end_of_a_protected_block():
    reached = []

    def do() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        do()
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("available", "apps", "mock", "generator", "shared"),
    [
        ([3], {3}, {3}, {3}, True),
        ([0, 1], {1}, {0}, {0}, False),
        ([2, 4, 6], {6}, {2}, {4}, False),
        (range(8), {2, 3, 4, 5, 6, 7}, {0}, {1}, False),
    ],
)
def test_generator_and_deployments_have_cores_of_their_own(
    available, apps, mock, generator, shared
):
    cores = Cores.among(available, pinned=True)
    assert (cores.apps, cores.mock, cores.generator, cores.shared) == (
        apps,
        mock,
        generator,
        shared,
    )


def test_without_affinity_all_processes_share_the_cores():
    cores = Cores.among([0, 1], pinned=False)
    assert cores.shared
    before = os.sched_getaffinity(0)
    with cores.pinned_to(cores.generator):
        assert os.sched_getaffinity(0) == before


def test_pinning_ends_with_its_block():
    cores = Cores.here()
    before = os.sched_getaffinity(0)
    with cores.pinned_to(cores.apps):
        assert os.sched_getaffinity(0) == cores.apps
    assert os.sched_getaffinity(0) == before


def cores_of(pid: int) -> set[frozenset[int]]:
    """The cores of each thread, where the system tells."""
    if sys.platform != "linux":
        return set()
    return {
        frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir(f"/proc/{pid}/task")
    }


def test_a_mock_that_runs_already_is_used_on_its_core_and_goes_on_as_it_was(tmp_path):
    with mock_upstream.running("0ms") as upstream:
        lent = RunningMock(upstream.url, upstream.control, upstream.pid)
        before = cores_of(upstream.pid)
        plan = plan_of(variant={"variant": "async-aiohttp"})
        with running(plan, tmp_path, lent=lent) as fleet:
            assert httpx.get(f"{fleet.deployments['variant'].url}/external-data").is_success
            assert upstream.ledger().arrivals == 1
            assert set(fleet.processes()) == {"mock", "variant"}
            assert fleet.processes()["mock"] == [upstream.pid]
            assert fleet.dead() == {}
            if fleet.cores.pinned:
                assert cores_of(upstream.pid) == {fleet.cores.mock}
        assert cores_of(upstream.pid) == before
        assert upstream.ledger().arrivals == 1


def test_a_mock_that_was_running_and_ends_is_reported(tmp_path):
    with mock_upstream.running("0ms") as upstream:
        lent = RunningMock(upstream.url, upstream.control, upstream.pid)
        with running(plan_of(mine={"command": SERVE}), tmp_path, lent=lent) as fleet:
            os.kill(upstream.pid, signal.SIGKILL)
            eventually(fleet.dead)
            assert fleet.dead() == {"mock": "the mock upstream has ended."}
