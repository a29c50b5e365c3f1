"""The phases of each response arrives in the slices, with the load generator's stamp."""

import asyncio
import time
from pathlib import Path

import pytest

from loadtests.recording.phases import PhaseSums
from tests.support.engines import playing, stage
from tests.support.servers import serving

pytestmark = pytest.mark.processes

UPSTREAM, OWN, BODY = 0.02, 0.001, 0.01
PATHS = ("/told", "/broken", "/silent", "/failing")


async def service(scope, receive, send):
    """Tells, on `/told`, what it knows; and elsewhere something that cannot be read, or nothing."""
    assert scope["type"] == "http"
    arrived = time.monotonic_ns()
    sent = int(dict(scope["headers"]).get(b"x-sent-mono", arrived))
    await asyncio.sleep(1.5 * UPSTREAM)  # uvloop may wake a millisecond early
    before, whole = (arrived - sent) / 1e6, (time.monotonic_ns() - arrived) / 1e6
    told = (
        f"total;dur={whole:.3f}, pre_app;dur={before:.3f}, thread_wait;dur=0.000, "
        f"pool_wait;dur=0.000, connect;dur=0.000, upstream;dur={whole - 1:.3f}, "
        "loop_wait;dur=0.000, own;dur=1.000"
    )
    path = scope["path"]
    headers = {"/silent": [], "/broken": [(b"server-timing", told[:-5].encode())]}
    await send(
        {
            "type": "http.response.start",
            "status": 500 if path == "/failing" else 200,
            "headers": headers.get(path, [(b"server-timing", told.encode())]),
        }
    )
    await asyncio.sleep(1.5 * BODY)
    await send({"type": "http.response.body", "body": b"{}"})


OWN_USERS = """
from locust import FastHttpUser, HttpUser, constant, task
from loadtests.engine.lean import LeanUser

class Http(HttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        self.client.get("/told", name="http")
        self.client.get("/told", name="stamped", headers={"X-Sent-Mono": "1"})

class Fast(FastHttpUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        with self.client.get("/told", name="fast", catch_response=True) as response:
            response.success()

class Lean(LeanUser):
    wait_time = constant(0.1)

    @task
    def ask(self):
        self.client.get("/told", name="lean")
"""


def numbered(number, url, paths, model, level, **more):
    return stage(number, url, paths, model=model, level=level, settle=0.25, measure=3.0, **more)


def summed(record, path):
    """The phases of a kind of request, and how many of its answers were good."""
    sums = PhaseSums()
    parts = [part for part in record.slices if part.request == path]
    for part in parts:
        sums.add(part.phases)
    return sums, sum(part.ok.count for part in parts)


def test_a_few_requests_a_second_are_stamped_and_their_phases_are_in_their_slices(tmp_path):
    with serving(service) as url, playing(Path("default"), tmp_path / "engine.log") as play:
        closed, opened = (
            play(numbered(number, url, PATHS, model, level, telemetry=True))
            for number, (model, level) in enumerate((("closed", 1), ("open", 400)))
        )
        silent = play(numbered(2, url, PATHS, "closed", 6, telemetry=False))
    for record in (closed, opened):
        sums, answers = summed(record, "/told")
        bins = list(sums.bins())
        traced = sum(one.count for one in bins)
        assert 3 <= traced <= answers
        assert (traced == answers) == (record is closed)
        bodies = 0.0
        for one in bins:
            pre_app, _, _, _, upstream, _, own, body = one.phases
            assert pre_app > 0
            bodies += body
            assert upstream >= one.count * UPSTREAM
            assert own == pytest.approx(one.count * OWN)
            assert sum(one.phases) <= one.total * 1.02 + one.count * 0.001
        assert bodies > 0.5 * traced * BODY  # a head that is read late may come with its body
        for path in ("/broken", "/silent", "/failing"):
            assert not summed(record, path)[0]
        assert summed(record, "/broken")[1] >= 3
    # An answer without a stamp in its request is not believed.
    sums, answers = summed(silent, "/told")
    assert answers > 10
    assert not sums


def test_requests_of_a_users_own_locustfile_are_stamped_too(tmp_path):
    (tmp_path / "users.py").write_text(OWN_USERS, encoding="utf-8")
    plan = tmp_path / "plan.toml"
    own = {"own_tasks": True}
    with serving(service) as url:
        text = f'name = "own"\nlocustfile = "users.py"\n[deployments.there]\nurl = "{url}"\n'
        plan.write_text(f"{text}[load]\nlevels = [3]\n", encoding="utf-8")
        with playing(plan, tmp_path / "engine.log") as play:
            told = play(numbered(0, url, [], "closed", 3, telemetry=True, **own))
            silent = play(numbered(1, url, [], "closed", 3, telemetry=False, **own))
    for name in ("http", "fast", "lean"):
        sums, answers = summed(told, name)
        assert sum(one.count for one in sums.bins()) == answers > 3, name
        assert sum(one.phases[4] for one in sums.bins()) >= answers * UPSTREAM
        assert sum(one.phases[7] for one in sums.bins()) > 0.5 * answers * BODY
        assert not summed(silent, name)[0]
    sums, answers = summed(told, "stamped")
    assert answers > 3
    assert not sums  # it has a stamp of its own
