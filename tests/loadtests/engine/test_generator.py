"""The generator, as the service sees it: the load goes on until what was measured is answered."""

import asyncio
import contextlib
from itertools import count

import pytest

from tests.support.engines import playing, stage
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


@pytest.fixture(scope="module")
def served():
    """The service and its URL."""
    service = Service()
    with serving(service) as url:
        yield service, url


@pytest.fixture(scope="module")
def play(tmp_path_factory, served):
    """Plays stages of one request; returns their records, and how many requests arrived."""
    service, url = served
    folder = tmp_path_factory.mktemp("generator")
    plan = folder / "plan.toml"
    plan.write_text(
        f'name = "x"\n[deployments.there]\nurl = "{url}"\n[[requests]]\npath = "/"\n',
        encoding="utf-8",
    )
    numbers = count()
    with playing(plan, folder / "engine.log") as play_stage:

        def play(path, *levels, **more):
            before = service.arrivals
            stages = [
                stage(next(numbers), url, [path], level=level, timeout=1.0, **more)
                for level in levels
            ]
            records = [play_stage(one) for one in stages]
            return records, service.arrivals - before

        yield play


def total(stage, name):
    return sum(getattr(part, name) for part in stage.slices)


def merged(stage, name):
    found = {}
    for part in stage.slices:
        for key, amount in getattr(part, name).items():
            found[key] = found.get(key, 0) + amount
    return found


@pytest.mark.parametrize(("level", "model"), [(4, "closed"), (20, "open")])
def test_the_load_goes_on_beyond_the_stage_and_is_not_recorded(play, level, model):
    [record], arrivals = play("/", level, model=model)
    started = total(record, "started")
    assert started == total(record, "ended") == merged(record, "statuses")["200"]
    assert total(record, "bytes") == 4 * started
    assert arrivals >= started + 2


def test_users_pause_as_the_plan_says_and_no_longer_than_the_stage(play):
    records, _ = play("/", 4, 8, think_time=0.6)
    for record in records:
        assert total(record, "followed") == total(record, "started") - record.stage.level
        assert total(record, "idle") >= 0.6 * total(record, "followed")


def test_a_redirect_that_the_plan_does_not_expect_is_a_failure(play):
    [record], _ = play("/redirected", 2)
    assert merged(record, "statuses") == {}
    assert merged(record, "kinds") == {"307 to /elsewhere": total(record, "started")}


def test_answers_that_never_end_fail_by_their_timeout(play):
    [record], arrivals = play("/drip", 2)
    assert merged(record, "kinds") == {"timeout": total(record, "started")}
    assert arrivals >= total(record, "started") == total(record, "ended") >= 2
    assert [done.unfinished for done in record.dones.values()] == [0]
