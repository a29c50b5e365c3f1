"""An engine without a controller: one process of Locust that plays stage after stage for tests."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtests.analysis.inputs.records import StageRecord
from loadtests.processes.affinity import Cores
from loadtests.recording import messages
from loadtests.run.controller import is_over
from loadtests.run.engine_process import ControllerSocket, engine

Play = Callable[[messages.Stage], StageRecord]
WAITING = 60.0  # seconds between two messages


@contextmanager
def engaged(plan: Path, log: Path, *words: str) -> Iterator[ControllerSocket]:
    """The line to an engine that has begun a test; the words are further options of Locust."""
    arguments = ["--headless", "--only-summary", *words]
    with (
        ControllerSocket() as line,
        engine(line, plan, log, Cores.here(), arguments) as connected,
    ):
        connected()
        assert isinstance(line.receive(WAITING), messages.Started)
        yield line
        line.send(messages.Finish())


@contextmanager
def playing(plan: Path, log: Path) -> Iterator[Play]:
    """What plays a stage and returns its record. The stages say all: of the plan none is played."""
    with engaged(plan, log) as line:
        yield lambda stage: played(line, stage)


def played(line: ControllerSocket, stage: messages.Stage) -> StageRecord:
    """The record of a stage that lasts as long as it says."""
    line.send(stage)
    record = StageRecord(stage)
    while not is_over(record):
        record.add(line.receive(WAITING))
    return record


def stage(number: int, url: str, paths: Sequence[str] = ("/",), **more: Any) -> messages.Stage:
    """A stage with requests for these paths; `timeout` is theirs."""
    timeout = more.pop("timeout", 10.0)
    requests = [
        messages.RequestSpec(name=path, method="GET", path=path, weight=1, timeout=timeout)
        for path in paths
    ]
    given = {"think_time": 0, "settle": 0.5, "measure": 1.0, "seed": 1, "requests": requests}
    return messages.Stage(number=number, deployment="there", target=url, **(given | more))
