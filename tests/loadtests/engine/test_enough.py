"""A stage that may end early ends on all generators at the same slice, as any stage ends."""

import asyncio
from contextlib import contextmanager

import pytest

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.windows import window
from loadtests.recording import messages
from loadtests.recording.slices import LENGTH
from loadtests.run.controller import is_over
from tests.support.engines import engaged, played, stage
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
def begun(folder, url, processes=1, own=False):
    """The line to an engine that has begun a test."""
    (folder / "visits.py").write_text(OWN, encoding="utf-8")
    plan = folder / "plan.toml"
    text = PLAN.format(
        url=url,
        scenario='locustfile = "visits.py"' if own else "",
        requests="" if own else '[[requests]]\npath = "/"',
    )
    plan.write_text(text, encoding="utf-8")
    count = str(processes)
    words = ["--processes", count, "--expect-workers", count] if processes > 1 else []
    with engaged(plan, folder / "engine.log", *words) as line:
        yield line


def long_stage(number, url, model="closed", own=False):
    return stage(
        number,
        url,
        [] if own else ["/"],
        model=model,
        level=20 if model == "closed" else 200,
        measure=LONG,
        own_tasks=own,
    )


def play(line, long):
    """The record of a stage that may end with its first report."""
    line.send(long)
    record, asked = StageRecord(long), False
    while not is_over(record):
        message = line.receive(45)
        record.add(message)
        if isinstance(message, messages.Report) and not asked:
            asked = True
            line.send(messages.Enough(stage=long.number, measure=WANTED))
    return record


def ends_early(line, url, first, model="closed", own=False):
    """The records of two stages, of which the second is played after one that was cut short."""
    records = [play(line, long_stage(first + n, url, model, own)) for n in range(2)]
    for record in records:
        assert record.complete
        assert WANTED <= record.stage.measure < LONG / 2
        assert record.stage.measure % LENGTH == 0
        assert len(window(record).quarters) * LENGTH == record.stage.measure
        assert sum(part.started for part in record.slices) == sum(p.ended for p in record.slices)
    return records


@pytest.mark.parametrize(("model", "own"), [("open", False), ("closed", True)])
def test_all_generators_end_a_stage_with_the_same_slice(tmp_path, model, own):
    with serving(service) as url, begun(tmp_path, url, 2, own) as line:
        records = ends_early(line, url, 0, model, own)
    assert [len(record.dones) for record in records] == [2, 2]


def test_a_generator_ends_a_stage_early_and_leaves_one_that_is_over_before_as_it_is(tmp_path):
    with serving(service) as url, begun(tmp_path, url) as line:
        records = ends_early(line, url, 0)
        short = stage(2, url, level=20)
        over = played(line, short)
        line.send(messages.Enough(stage=2, measure=WANTED))
        again = play(line, long_stage(3, url))
    assert [len(record.dones) for record in records] == [1, 1]
    assert over.stage.measure == WANTED
    assert again.complete
