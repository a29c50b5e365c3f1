"""A stage that may end early ends on all generators at the same slice, as any stage ends."""

import asyncio
from contextlib import contextmanager

import pytest

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.windows import window
from loadtests.processes.affinity import Cores
from loadtests.recording import messages
from loadtests.recording.slices import LENGTH
from loadtests.run.controller import is_over
from loadtests.run.engine_process import ControllerSocket, engine
from tests.support.servers import serving

pytestmark = pytest.mark.processes

LONG, WANTED = 60.0, 1.0  # seconds
PLAN = """
name = "early"
{scenario}
[deployments.there]
url = "{url}"
{requests}
"""
OWN = """
from locust import HttpUser, task

class Visitor(HttpUser):
    @task
    def visit(self):
        self.client.get("/own")
"""


async def service(scope, receive, send):
    assert scope["type"] == "http"
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@contextmanager
def engaged(folder, url, processes, own):
    """The line to an engine that has begun a test."""
    (folder / "visits.py").write_text(OWN, encoding="utf-8")
    plan = folder / "plan.toml"
    text = PLAN.format(
        url=url,
        scenario='locustfile = "visits.py"' if own else "",
        requests="" if own else '[[requests]]\npath = "/"',
    )
    plan.write_text(text, encoding="utf-8")
    arguments = ["--headless", "--only-summary"]
    arguments += ["--processes", str(processes), "--expect-workers", str(processes)]
    with (
        ControllerSocket() as line,
        engine(
            line,
            plan,
            folder / "engine.log",
            Cores.here(),
            arguments if processes > 1 else arguments[:2],
        ) as connected,
    ):
        connected()
        assert isinstance(line.receive(60), messages.Started)
        yield line
        line.send(messages.Finish())


def stage(number, url, model, own):
    return messages.Stage(
        number=number,
        deployment="there",
        target=url,
        model=model,
        level=20 if model == "closed" else 200,
        think_time=0,
        settle=0.5,
        measure=LONG,
        requests=[]
        if own
        else [messages.RequestSpec(name="/", method="GET", path="/", weight=1, timeout=10)],
        seed=1,
        own_tasks=own,
    )


def play(line, played):
    """The record of a stage that may end with its first report."""
    line.send(played)
    record, asked = StageRecord(played), False
    while not is_over(record):
        message = line.receive(45)
        record.add(message)
        if isinstance(message, messages.Report) and not asked:
            asked = True
            line.send(messages.Enough(stage=played.number, measure=WANTED))
    return record


@pytest.mark.parametrize(
    ("processes", "model", "own"),
    [(1, "closed", False), (2, "open", False), (2, "closed", True)],
)
def test_all_generators_end_a_stage_with_the_same_slice(tmp_path, processes, model, own):
    with serving(service) as url, engaged(tmp_path, url, processes, own) as line:
        # The second one is played after a stage that was cut short.
        records = [play(line, stage(number, url, model, own)) for number in range(2)]
    for record in records:
        assert record.complete
        assert len(record.dones) == processes
        assert WANTED <= record.stage.measure < LONG / 2
        assert record.stage.measure % LENGTH == 0
        assert len(window(record).quarters) * LENGTH == record.stage.measure
        assert sum(part.started for part in record.slices) == sum(p.ended for p in record.slices)


def test_a_stage_that_is_over_before_it_is_enough_is_left_as_it_is(tmp_path):
    with serving(service) as url, engaged(tmp_path, url, 1, own=False) as line:
        short = stage(0, url, "closed", own=False).model_copy(update={"measure": WANTED})
        line.send(short)
        record = StageRecord(short)
        while not is_over(record):
            record.add(line.receive(45))
        line.send(messages.Enough(stage=0, measure=WANTED))
        again = play(line, stage(1, url, "closed", own=False))
    assert record.stage.measure == WANTED
    assert again.complete
