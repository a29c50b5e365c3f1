"""The generator, as the service sees it: the load goes on until what was measured is answered."""

import asyncio
import contextlib

import pytest

from loadtests.analysis.inputs import records
from tests.support.brownout_runs import called
from tests.support.servers import serving

pytestmark = pytest.mark.processes


class Service:
    """Answers after 200 ms, byte by byte for as long as anybody listens where it is to drip."""

    def __init__(self):
        self.arrivals = 0

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.arrivals += 1
        if scope["path"] == "/redirected":
            location = (b"location", b"/elsewhere")
            await send({"type": "http.response.start", "status": 307, "headers": [location]})
            await send({"type": "http.response.body"})
            return
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(OSError):
            while scope["path"] == "/drip":
                await send({"type": "http.response.body", "body": b".", "more_body": True})
                await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"1234"})


def played(folder, path, load, code=0):
    """The stages of a run, and the requests that came to the service."""
    service = Service()
    with serving(service) as url:
        (folder / "plan.toml").write_text(
            f'name = "x"\n[deployments.there]\nurl = "{url}"\n'
            f'[[requests]]\npath = "{path}"\ntimeout = "1s"\n'
            f'[load]\nsettle = "500ms"\nmeasure = "1s"\n{load}',
            encoding="utf-8",
        )
        found, invocation = called("run", "plan.toml", cwd=folder)
        assert found == code, invocation.output
    record = records.read(invocation.cwd / invocation.lines[-1].strip())
    return record.stages, service.arrivals


def total(stage, name):
    return sum(getattr(part, name) for part in stage.slices)


def merged(stage, name):
    found = {}
    for part in stage.slices:
        for key, count in getattr(part, name).items():
            found[key] = found.get(key, 0) + count
    return found


@pytest.mark.parametrize("load", ["levels = [4]", 'levels = [20]\nmodel = "open"'])
def test_the_load_goes_on_beyond_the_stage_and_is_not_recorded(tmp_path, load):
    [stage], arrivals = played(tmp_path, "/", load)
    started = total(stage, "started")
    assert started == total(stage, "ended") == merged(stage, "statuses")["200"]
    assert total(stage, "bytes") == 4 * started
    assert arrivals >= started + 2


def test_users_pause_as_the_plan_says_and_no_longer_than_the_stage(tmp_path):
    stages, _ = played(tmp_path, "/", 'levels = [4, 8]\nthink_time = "600ms"')
    for stage in stages:
        assert total(stage, "followed") == total(stage, "started") - stage.stage.level
        assert total(stage, "idle") >= 0.6 * total(stage, "followed")


def test_a_redirect_that_the_plan_does_not_expect_is_a_failure(tmp_path):
    [stage], _ = played(tmp_path, "/redirected", "levels = [2]", code=1)
    assert merged(stage, "statuses") == {}
    assert merged(stage, "kinds") == {"307": total(stage, "started")}


def test_answers_that_never_end_fail_by_their_timeout(tmp_path):
    [stage], arrivals = played(tmp_path, "/drip", "levels = [2]", code=1)
    assert merged(stage, "kinds") == {"timeout": total(stage, "started")}
    assert arrivals >= total(stage, "started") == total(stage, "ended") >= 2
    assert [done.unfinished for done in stage.dones.values()] == [0]
