"""The open model, as a user plays it: what was meant, what was sent, what was answered."""

import asyncio
import shlex
import time

import pytest

from loadtests.analysis.inputs import records
from loadtests.recording.histograms import merged
from tests.support.brownout_runs import COMMAND, brownout, called, started
from tests.support.servers import serving

pytestmark = pytest.mark.processes

LOAD = '[load]\nmodel = "open"\narrivals = "even"\nsettle = "500ms"\n'
REQUEST = '[[requests]]\npath = "/external-data"\n'


def answering(seconds):
    """A service of unlimited capacity that takes so long."""

    async def answer(scope, receive, send):
        assert scope["type"] == "http"
        await asyncio.sleep(seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return answer


def write(folder, url, load, requests=REQUEST):
    text = f'name = "open"\n[deployments.there]\nurl = "{url}"\n{requests}{LOAD}{load}'
    (folder / "plan.toml").write_text(text, encoding="utf-8")


def recorded(invocation):
    """The record of the run whose folder was printed last."""
    return records.read(invocation.cwd / invocation.lines[-1].strip())


def measured(stage):
    return [part for part in stage.slices if part.index >= stage.stage.settle / 0.25]


def count(stage):
    """Requests that were sent in the measured window."""
    return sum(part.started for part in measured(stage))


def test_several_generators_share_the_rate_for_any_response(tmp_path):
    (tmp_path / "plan.toml").write_text(
        'name = "open"\n[upstream]\nlatency = "50ms"\n'
        '[deployments.threads]\nvariant = "blocking-requests"\nsettings = { threads = 4 }\n'
        f'{REQUEST}{LOAD}levels = [40, 240]\nmeasure = "1s"\n',
        encoding="utf-8",
    )
    code, invocation = called("run", "plan.toml", "--processes", "2", cwd=tmp_path)
    assert code in (0, 3), invocation.output  # 3: other work on this machine
    calm, flooded = recorded(invocation).stages
    assert count(calm) == 40
    # Four threads of 50 ms answer 80/s at most; the requests come all the same, and wait.
    assert count(flooded) == 240
    assert len(flooded.dones) == 2
    point = next(p for p in invocation.run().points if p.level == 240 and p.request == "all")
    assert point.model == "open"
    assert point.throughput.value < 100
    waiting = merged(part.response for part in measured(flooded))
    assert waiting.count == 240
    assert waiting.quantile(0.5) > 1
    assert all(done.reports for done in flooded.dones.values())


def test_the_delay_of_a_generator_is_in_the_response_time_and_not_in_the_service_time(tmp_path):
    with serving(answering(0.01)) as url:
        write(tmp_path, url, 'levels = [100]\nmeasure = "2s"\n')
        with brownout("run", "plan.toml", cwd=tmp_path) as invocation:
            folder = tmp_path / "runs"
            until_it_begins(folder, invocation)
            time.sleep(1)
            locust = invocation.part("locust")
            locust.suspend()
            time.sleep(0.6)
            locust.resume()
            invocation.end()
    (stage,) = recorded(invocation).stages
    assert count(stage) == 2 * 100  # what fell due meanwhile was sent at once
    response = merged(part.response for part in measured(stage))
    service = merged(part.ok for part in measured(stage))
    assert response.quantile(0.9) > 0.25
    assert service.quantile(0.9) < response.quantile(0.9) / 2
    assert stage.dones["local"].late > 0.5


def until_it_begins(folder, invocation):
    deadline = time.monotonic() + 60
    while not any(
        '"begun"' in file.read_text(encoding="utf-8") for file in folder.glob("*/slices.jsonl")
    ):
        assert time.monotonic() < deadline, invocation.output
        time.sleep(0.02)


OFTEN = '[[requests]]\npath = "/often"\nweight = 3\n'
SELDOM = '[[requests]]\npath = "/seldom"\nmethod = "POST"\n'


def test_arrivals_beyond_what_can_be_in_flight_are_counted_by_request_and_never_sent(tmp_path):
    """A process that may open 160 files holds some 60 requests at once."""
    with serving(answering(2)) as url:
        write(tmp_path, url, 'levels = [100]\nmeasure = "1s"\n', OFTEN + SELDOM)
        words = shlex.join([*COMMAND, "run", "plan.toml"])
        with started(["sh", "-c", f"ulimit -n 160; exec {words}"], tmp_path) as invocation:
            invocation.end()
    (stage,) = recorded(invocation).stages
    unsent = sum(part.unsent for part in measured(stage))
    assert count(stage) + unsent == 100
    assert unsent > 50
    assert not any(part.failed.count for part in stage.slices)
    meant = dict.fromkeys(("/often", "POST /seldom"), 0)
    for part in measured(stage):
        meant[part.request] += part.started + part.unsent
    assert 50 < meant["/often"] < 95
