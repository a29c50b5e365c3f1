"""Strangers at the port between Locust's master and its workers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import msgpack
import psutil
import pytest
import zmq

from loadtests import results
from tests.support.brownout_runs import LOCUST, Invocation, brownout, started
from tests.support.servers import eventually, serving
from tests.support.webui import ui

pytestmark = pytest.mark.processes

SECRET = "Bearer TOP-SECRET-HEADER"
TRIED = 1  # requests of each kind, which are sent before the load generator begins
PLAN = """
name = "guarded"
[deployments.own]
url = "{url}"
[[requests]]
path = "/asked"
headers = {{ Authorization = "{secret}" }}
[load]
levels = [2]
settle = "0s"
measure = "{measure}"
"""
JUNK = [
    b"",
    b"\xc1\xc1",  # no msgpack
    msgpack.dumps(7),
    msgpack.dumps([]),
    msgpack.dumps([None, None, None]),
    msgpack.dumps(["exception", {}, "evil"]),
    msgpack.dumps(["heartbeat", None, "evil"]),
    msgpack.dumps(["stats", {}, "evil"]),
    msgpack.dumps(["client_ready", [1], "evil"]),
    msgpack.dumps(["brownout_report", {"type": "done"}, "evil"]),
    msgpack.dumps(["brownout_ready", {}, "somebody else"]),
    msgpack.dumps(["logs", None, "evil"]),
    msgpack.dumps(["quit", None, "evil"])[:-3],
]


class Service:
    """Counts what comes, and how much of it is authorized."""

    def __init__(self):
        self.asked = self.authorized = 0
        self._answers = threading.Event()
        self._answers.set()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """One user waits for its answer while the block lasts; its stage does not end before."""
        self._answers.clear()
        try:
            yield
        finally:
            self._answers.set()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.asked += 1
        self.authorized += (b"authorization", SECRET.encode()) in scope["headers"]
        if self.asked == TRIED + 1:
            while not self._answers.is_set():
                await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1"})


def made(folder, url, measure="3s"):
    (folder / "plan.toml").write_text(
        PLAN.format(url=url, secret=SECRET, measure=measure), encoding="utf-8"
    )
    return folder


def listening(invocation: Invocation) -> set[tuple[str, int]]:
    """The addresses at which what was started listens."""
    found = set()
    for process in invocation.left_behind():
        with contextlib.suppress(psutil.Error):
            connections = process.net_connections(kind="tcp")
            found |= {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}
    return {(address.ip, address.port) for address in found}


@contextlib.contextmanager
def stranger(port: int, name: bytes, **options: bytes) -> Iterator[zmq.Socket]:
    """Somebody who speaks ZeroMQ with the master, as Locust's workers do."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as caller:
        caller.linger = 0
        caller.setsockopt(zmq.IDENTITY, name)
        for key, value in options.items():
            setattr(caller, key, value)
        caller.connect(f"tcp://127.0.0.1:{port}")
        yield caller


def offer_work(caller: zmq.Socket, name: bytes) -> None:
    """Everything by which a worker takes part, and ends a test."""
    text = name.decode(errors="replace")
    stats = {"stats": [], "errors": {}, "user_classes_count": {"PlanUser": 2}, "user_count": 2}
    for kind, data in (
        ("client_ready", "2.47.0"),
        ("heartbeat", {"state": "ready", "current_cpu_usage": 1}),
        ("brownout_ready", {"stage": 0, "sent": 0.0, "clock": 0.0}),
        ("stats", stats),
        ("exception", {"msg": text, "traceback": text}),
        ("quit", None),
    ):
        with contextlib.suppress(zmq.Again):
            caller.send(msgpack.dumps([kind, data, text]), zmq.NOBLOCK)


def attack(port: int) -> list[bytes]:
    """All that strangers may try; returns what the master said to them."""
    received = []
    public, secret = zmq.curve_keypair()
    server, _ = zmq.curve_keypair()
    key = {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": server}
    for name in (b"evil", b"evil\x01\x1b[2J", b"\xff\xfe", b"e" * 250):
        for options in ({}, key):
            with stranger(port, name, **options) as caller:
                offer_work(caller, name)
                for junk in JUNK:
                    with contextlib.suppress(zmq.Again):
                        caller.send(junk, zmq.NOBLOCK)
                if caller.poll(100):
                    received.append(caller.recv())
    for words in (b"GET / HTTP/1.1\r\n\r\n", bytes(10_000), b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as scanner:
            scanner.sendall(words)
    return received


def generators_of(folder) -> set[str]:
    from loadtests.analysis.inputs import records

    return {name for stage in records.read(folder).stages for name in stage.begun.generators}


def test_only_workers_that_were_forked_here_take_part(tmp_path):
    """Neither strangers nor the workers of another run that is played at the same time."""
    services = [Service(), Service()]
    folders = [tmp_path / "one", tmp_path / "two"]
    command = ("run", "plan.toml", "--processes", "2")
    with serving(services[0]) as url, serving(services[1]) as other_url:
        for folder, target in zip(folders, (url, other_url), strict=True):
            folder.mkdir()
            made(folder, target)
        with (
            brownout(*command, cwd=folders[0]) as one,
            brownout(*command, cwd=folders[1]) as other,
        ):
            with services[0].held():
                eventually(lambda: services[0].asked > TRIED)
                addresses = listening(one)
                assert {host for host, _ in addresses} == {"127.0.0.1"}
                received = [answer for _, port in addresses for answer in attack(port)]
            assert one.end() == 0, one.output
            assert other.end() == 0, other.output
            run = one.run()
            written = [each.cwd / each.lines[-1].strip() for each in (one, other)]
    assert received == []
    assert run.status == "complete"
    assert [text for text in run.problems if "not a worker of this run" in text]
    assert all(service.authorized == service.asked for service in services)
    generators = [generators_of(folder) for folder in written]
    assert [len(names) for names in generators] == [2, 2]
    assert not generators[0] & generators[1]
    assert not any(
        "evil" in file.read_text(encoding="utf-8")
        for file in written[0].glob("*.*")
        if file.suffix != ".png"
    )


def test_strangers_do_not_end_a_test_in_the_web_ui(tmp_path, free_port):
    service = Service()
    with (
        serving(service) as url,
        ui(made(tmp_path, url), free_port, "--processes", "2") as pages,
    ):
        addresses = listening(pages.invocation) - {("127.0.0.1", free_port)}
        assert {host for host, _ in addresses} == {"127.0.0.1"}
        with service.held():
            assert pages.start(levels="2", settle="0s", measure="2s")["success"]
            eventually(lambda: service.asked > TRIED)
            assert [answer for _, port in addresses for answer in attack(port)] == []
        pages.until("complete")
        assert pages.run().status == "complete"
        assert pages.client.get("/worker-count").json()["worker_count"] == 2


def test_invalid_messages_do_not_end_a_test_on_several_machines(tmp_path, free_port):
    service = Service()
    words = [*LOCUST, "--plan", "plan.toml"]
    master = ["--master", "--headless", "--expect-workers", "1", "--only-summary"]
    master += ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(free_port)]
    worker = ["--worker", "--master-port", str(free_port)]
    with (
        serving(service) as url,
        started([*words, *master], made(tmp_path, url)) as led,
        started([*words, *worker], tmp_path),
    ):
        with service.held():
            eventually(lambda: service.asked > TRIED)
            for name in (b"evil", b"evil\x01\x1b[2J", b"\xff\xfe", b"e" * 250):
                with stranger(free_port, name) as caller:
                    for junk in JUNK:
                        caller.send(junk)
                    # It has read all of that when it answers: it asks who it does not know to quit.
                    caller.send(msgpack.dumps(["spawning", None, name.decode(errors="replace")]))
                    assert caller.poll(30_000 if name == b"evil" else 100) == (name == b"evil")
        assert led.end() in (0, 3), led.output  # 3: other work on this machine
    (folder,) = (tmp_path / "runs").iterdir()
    assert results.read(folder).status == "complete"
    assert len(generators_of(folder)) == 1


def test_a_run_that_loses_all_of_its_workers_says_so_and_was_not_interrupted(tmp_path):
    service = Service()
    with serving(service) as url:
        made(tmp_path, url)
        with brownout("run", "plan.toml", "--processes", "2", cwd=tmp_path) as invocation:
            eventually(lambda: service.asked > TRIED)
            for worker in invocation.part("loadtests.engine").children():
                worker.kill()
            assert invocation.end() == 3, invocation.output
            assert "the load generator is gone: each of its worker processes" in invocation.output
