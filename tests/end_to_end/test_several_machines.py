"""Locust's master and a worker on two machines, by the commands of docs/several-machines.md."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests import results
from tests.support.brownout_runs import started
from tests.support.documents import ROOT, blocks
from tests.support.servers import eventually

pytestmark = pytest.mark.processes

PAGE = ROOT / "docs" / "several-machines.md"
MASTER, WORKER = "10.77.0.1", "10.77.0.2"  # as the page has them
IP = shutil.which("ip") or "ip"


def ip(*words: str) -> None:
    done = subprocess.run([IP, *words], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def machines() -> Iterator[tuple[list[str], list[str]]]:
    """What starts a program on one of two machines: namespaces with a wire between them."""
    names = [f"brownout-{os.getpid()}-{side}" for side in ("a", "b")]
    wires = [f"bo{os.getpid() % 10**6}{side}" for side in ("a", "b")]
    try:
        for name in names:
            ip("netns", "add", name)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        ends = ("netns", names[0], "type", "veth", "peer", "name", wires[1], "netns", names[1])
        ip("link", "add", wires[0], *ends)
        for name, wire, address in zip(names, wires, (MASTER, WORKER), strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", wire)
            for device in ("lo", wire):
                ip("-n", name, "link", "set", device, "up")
        first, second = ([IP, "netns", "exec", name] for name in names)
        yield first, second
    finally:
        for name in names:
            subprocess.run([IP, "netns", "del", name], capture_output=True)


def words(command: str) -> list[str]:
    """The words of one of the page's commands, with the programs of this environment."""
    locustfile = command.replace("$LOADTESTS", str(ROOT / "loadtests"))
    program, *others = shlex.split(locustfile)
    return [sys.executable, "-m", program, *others]


def test_a_worker_on_another_machine_loads_a_service_there(
    tmp_path: Path, machines: tuple[list[str], list[str]]
) -> None:
    first, second = machines
    plan, *commands = (
        block for block in blocks(PAGE) if block.how == "file" or "--master" in block.text
    )
    (tmp_path / plan.value).write_text(plan.text, encoding="utf-8")
    master, worker = (words(block.text) for block in commands)
    service = [sys.executable, "-m", "mock_upstream", "serve", "--latency", "20ms"]
    with (
        started([*first, *service, "--host", MASTER, "--port", "8000"], tmp_path) as served,
        started([*first, *master], tmp_path) as led,
        started([*second, *worker], tmp_path) as helped,
    ):
        eventually(lambda: any("ready" in line for line in served.lines))
        assert led.end() in (0, 3), led.output  # 3: other work on this machine
        assert helped.end() == 0, helped.output
    (folder,) = (tmp_path / "runs").iterdir()
    run = results.read(folder)
    assert run.status == "complete"
    points = {point.level: point for point in run.points if point.request == "all"}
    assert {2, 8} == {*points}
    for point in points.values():
        assert point.requests > 50
        assert point.errors.rate == 0
