"""The upstream in the hand of a page: a real mock is asked what it plays after each change."""

import json
import os
import re
import signal
import threading
from contextlib import contextmanager
from queue import Queue
from time import monotonic

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loadtests.dashboard import upstream_control as module
from loadtests.dashboard.upstream_control import ChangeRefused, UpstreamControl
from loadtests.plans import Plan, Request, VariantDeployment
from loadtests.recording.messages import UpstreamChanged
from loadtests.run.deployments import Fleet, running
from loadtests.run.starter import RunningMock
from mock_upstream.profiles.profile import Profile, load
from tests.support.servers import eventually

pytestmark = pytest.mark.processes

QUICK = Profile.model_validate({"latency": "1ms"})
DOWN = {"errors": {"503": 1.0}}


class Hand:
    """The control of the upstream with all that it told, and the mock itself to compare with."""

    def __init__(self, fleet: Fleet, client: httpx.Client) -> None:
        self.fleet = fleet
        self.client = client
        self.put(QUICK.model_dump(mode="json")).raise_for_status()
        self.upstream = UpstreamControl(fleet.mock, QUICK)
        self.upstream.changed = self.changed
        self._told: Queue[UpstreamChanged | None] = Queue()

    def put(self, profile: dict[str, object]) -> httpx.Response:
        """Put a profile to the mock itself, not through the control."""
        return self.client.put(f"{self.fleet.mock.control}/profile", json=profile)

    def changed(self, change: UpstreamChanged | None) -> None:
        self._told.put(change)

    def next(self) -> UpstreamChanged | None:
        """What it tells next, waited for."""
        return self._told.get(timeout=30)

    def told(self) -> list[UpstreamChanged | None]:
        """What it has told since, without waiting."""
        return [self._told.get_nowait() for _ in range(self._told.qsize())]

    @property
    def played(self) -> dict[str, object]:
        return self.client.get(f"{self.fleet.mock.control}/profile").json()

    @property
    def version(self) -> int:
        """Grows with every profile that the mock was given."""
        return self.client.get(f"{self.fleet.mock.control}/ledger").json()["version"]

    def statuses(self, *paths: str, times: int = 1) -> list[int]:
        url = self.fleet.mock.url
        return [self.client.get(url + path).status_code for path in paths * times]

    def says(self, changes: dict[str, object]) -> str:
        """The mock's own words to a profile that it does not take."""
        answer = self.put({**self.played, **changes})
        assert answer.status_code >= 400
        return answer.json()["error"]

    @contextmanager
    def refused(self, why: str = ""):
        """Nothing is told, and nothing is played that was not before."""
        before, version = self.played, self.version
        with pytest.raises(ChangeRefused) as caught:
            yield
        assert why in str(caught.value)
        assert (self.played, self.version) == (before, version)
        assert self.told() == []


@contextmanager
def mock(folder):
    deployments = {"a": VariantDeployment(variant="async-aiohttp")}
    plan = Plan(
        name="hand",
        upstream=QUICK,
        deployments=deployments,
        requests=(Request(path="/"),),
        telemetry=False,
    )
    with running(plan, folder, only=()) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with mock(tmp_path_factory.mktemp("mock")) as fleet:
        yield fleet


@contextmanager
def watched(fleet):
    """While no run goes on."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield Hand(fleet, client)


def timers():
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


@contextmanager
def in_hand(fleet, profile=QUICK):
    """The upstream control during a run with this profile."""
    with watched(fleet) as hand:
        hand.upstream.begin(profile)
        yield hand
        hand.upstream.end()
        eventually(lambda: not timers(), 5)  # before an outage would be over
        assert hand.told() == []
        assert hand.played == profile.model_dump(mode="json")


@pytest.fixture
def hand(fleet):
    with in_hand(fleet) as hand:
        yield hand


# What can be changed.


@pytest.mark.parametrize(
    ("values", "name", "played", "text"),
    [
        ({"latency": "5ms"}, "latency", "5ms", "latency 1ms → 5ms"),
        ({"latency": " uniform(2ms,4ms)\n"}, "latency", "uniform(2ms,4ms)", None),
        (
            {"errors": "500 = 0.25, 503 = 0.5"},
            "errors",
            {"500": 0.25, "503": 0.5},
            "errors none → 500 = 0.25, 503 = 0.5",
        ),
        (
            {"faults": 'fault = "reset", every = 3\n\n fault = "hang", probability = 0.1 \n'},
            "faults",
            [
                {"fault": "reset", "every": 3, "on_reuse": False},
                {"fault": "hang", "probability": 0.1, "on_reuse": False, "longest": "600s"},
            ],
            None,
        ),
    ],
)
def test_a_change_is_applied_and_described(hand, values, name, played, text):
    hand.upstream.change(values)
    assert hand.played == QUICK.model_dump(mode="json") | {name: played}
    (change,) = hand.told()
    assert change.profile == hand.played
    assert change.text.startswith(f"{name} ")
    assert text is None or change.text == text


def test_callers_get_the_changed_behaviour(hand):
    hand.upstream.change({"errors": "418 = 1"})
    assert hand.statuses("/", "/a", times=3) == [418] * 6
    hand.upstream.change({"errors": ""})
    assert hand.statuses("/", "/a", times=3) == [200] * 6
    assert [change.profile is None for change in hand.told()] == [False, True]


def test_servers_come_and_go_and_the_rest_of_the_capacity_stays(fleet):
    capacity = {"servers": 4, "queue": 7, "overflow": 429}
    with in_hand(fleet, Profile.model_validate({"capacity": capacity})) as hand:
        hand.upstream.change({"servers": "9"})
        assert hand.played["capacity"] == capacity | {
            "servers": 9,
            "retry_after": None,
            "slowdown": {"alpha": 0.0, "beta": 0.0},
            "on_disconnect": "keep",
        }
        hand.upstream.change({"servers": " "})
        assert hand.played["capacity"] is None
        hand.upstream.change({"servers": "2"})
        assert hand.played["capacity"]["queue"] == 1000
        texts = [change.text for change in hand.told()]
        assert texts[0].startswith("capacity servers = 4, queue = 7, ")
        assert " → servers = 9, queue = 7, " in texts[0]
        assert texts[1].endswith(" → none")
        assert texts[2].startswith("capacity none → servers = 2, ")


def test_a_long_value_is_cut_in_the_text_and_whole_in_the_profile(hand):
    errors = {str(status): 0.0125 for status in range(400, 440)}
    hand.upstream.change({"errors": ", ".join(f"{s} = {p}" for s, p in errors.items())})
    (change,) = hand.told()
    assert change.profile["errors"] == errors
    assert len(change.text) < 120
    assert change.text.endswith(" ...")


def test_several_values_at_once_are_one_change(hand):
    hand.upstream.change({"latency": "2ms", "servers": "3", "errors": "503 = 0.5", "faults": ""})
    (change,) = hand.told()
    assert change.text.startswith("latency 1ms → 2ms; errors none → 503 = 0.5; capacity none → ")
    assert change.profile == hand.played


def test_a_profile_that_is_changed_back_is_that_of_the_plan(hand):
    hand.upstream.change({"latency": "2ms", "errors": "503 = 0.5"})
    hand.upstream.change({"errors": ""})
    hand.upstream.change({"latency": "1ms"})
    assert [change.profile is None for change in hand.told()] == [False, False, True]
    assert hand.upstream.state()["planned"] is True


def test_the_plans_profile_is_put_back_whole(hand):
    hand.upstream.change({"latency": "2ms", "servers": "3", "faults": 'fault = "hang"'})
    hand.told()
    hand.upstream.restore({})
    (change,) = hand.told()
    assert change.profile is None
    assert change.text.startswith("latency 2ms → 1ms; capacity servers = 3, ")
    assert hand.played == QUICK.model_dump(mode="json")


def test_no_change_is_described_where_nothing_changed(hand):
    for values in ({}, {"latency": "1ms"}, {"latency": "1000us", "faults": "\n"}, {"who": "me"}):
        hand.upstream.change(values)
    hand.upstream.restore({})
    assert hand.told() == []


FULL = Profile.model_validate(
    {
        "latency": "0.9*lognormal(p50=2ms,p99=8ms) + 0.1*uniform(1ms,2ms)",
        "errors": {503: 0.123456789, 500: 1e-7},
        "capacity": {"servers": 4, "queue": 9},
        "faults": [
            {"fault": "drip", "interval": "1ms", "piece": "2kB", "probability": 0.0123456789},
            {"fault": "truncate", "framing": "chunked", "every": 1000},
            {"fault": "error-status", "first": 1, "retry_after": 3},
            {"fault": "close-on-reuse", "probability": 0.0},
        ],
        "limits": [{"kind": "fixed_window", "limit": 1000, "per": "1s"}],
        "routes": [{"path": "/own", "errors": {404: 0.5}}],
        "timeline": {"phases": [{"name": "calm", "for": "5m"}]},
    }
)


def test_the_text_of_the_panel_can_be_sent_back_without_a_change(fleet):
    with in_hand(fleet, FULL) as hand:
        told = hand.upstream.state()
        assert told["rest"] == ["limits", "routes", "timeline"]
        hand.upstream.change({name: told[name] for name in ("latency", "servers", "errors")})
        hand.upstream.change({"faults": told["faults"]})
        assert len(told["faults"].splitlines()) == 4
        assert hand.told() == []
        assert hand.played == FULL.model_dump(mode="json")


def test_the_panel_shows_the_profile_and_whether_it_is_that_of_the_plan(hand):
    shown = {"latency": "1ms", "servers": "", "errors": "", "faults": "", "rest": []}
    assert hand.upstream.state() == shown | {"planned": True, "running": True, "outage": None}
    hand.upstream.change({"servers": "7", "errors": "503 = 0.25"})
    assert hand.upstream.state() == shown | {
        "servers": "7",
        "errors": "503 = 0.25",
        "planned": False,
        "running": True,
        "outage": None,
    }
    hand.told()


# What is refused.


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        ({"latency": "fast"}, {"latency": "fast"}),
        ({"latency": ""}, {"latency": ""}),
        ({"latency": "p50=2s p95=1s"}, {"latency": "p50=2s p95=1s"}),
        ({"latency": "2m"}, {"latency": "2m"}),
        ({"servers": "0"}, {"capacity": {"servers": 0}}),
        ({"servers": "999999"}, {"capacity": {"servers": 999_999}}),
        ({"errors": "200 = 0.1"}, {"errors": {"200": 0.1}}),
        ({"errors": "503 = 0.9, 500 = 0.9"}, {"errors": {"503": 0.9, "500": 0.9}}),
        ({"errors": "503 = 2"}, {"errors": {"503": 2}}),
        ({"errors": 'what = "now"'}, {"errors": {"what": "now"}}),
        ({"errors": "a.b.c = 1"}, {"errors": {"a": {"b": {"c": 1}}}}),
        ({"faults": "fault = 'reste'"}, {"faults": [{"fault": "reste"}]}),
        ({"faults": "every = 3"}, {"faults": [{"every": 3}]}),
        (
            {"faults": 'fault = "hang", every = 2, first = 2'},
            {"faults": [{"fault": "hang", "every": 2, "first": 2}]},
        ),
    ],
)
def test_values_that_the_mock_refuses_have_the_message_of_the_mock(fleet, values, sent):
    with in_hand(
        fleet, Profile.model_validate({"latency": "1ms", "caps": {"delay": "1m"}})
    ) as hand:
        words = hand.says(sent)
        with hand.refused(words):
            hand.upstream.change(values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"servers": "many"}, "servers: 'many' is not a whole number; leave it empty for no limit"),
        ({"servers": "-1"}, "servers: '-1' is not a whole number"),
        ({"servers": "1.5"}, "servers: '1.5' is not a whole number"),
        ({"servers": "²"}, "servers: '²' is not a whole number"),
        ({"servers": "9" * 5000}, "is not a whole number"),
        ({"servers": 7}, "servers: 7 is not text"),
        ({"latency": None}, "latency: None is not text"),
        ({"latency": "\ud800"}, r"latency: '\ud800' is not text"),
        ({"errors": {"503": 1}}, "errors: {'503': 1} is not text"),
        ({"errors": "503: 0.5"}, "errors: '503: 0.5' cannot be read; write 503 = 0.01"),
        ({"errors": "503 = 0.5, 503 = 0.1"}, "cannot be read; write 503 = 0.01"),
        ({"errors": "503 = 2026-11-20"}, "cannot be read; write 503 = 0.01"),
        ({"errors": "503 = 07:32:00"}, "cannot be read; write 503 = 0.01"),
        ({"errors": f"503 = {'9' * 5000}"}, "cannot be read; write 503 = 0.01"),
        ({"errors": f"503 = 0x{'f' * 5000}"}, "cannot be read; write 503 = 0.01"),
        ({"errors": f"503 = {'[' * 5000}"}, "cannot be read; write 503 = 0.01"),
        ({"errors": "}\nother = {"}, "cannot be read; write 503 = 0.01"),
        ({"errors": "503 = nan"}, "NaN is not a number"),
        ({"errors": "503 = inf"}, "Infinity is not a number"),
        ({"faults": "reset"}, 'write fault = "reset", probability = 0.1'),
        ({"faults": "fault = 'reset', at = 1979-05-27T07:32:00Z"}, 'write fault = "reset"'),
        ({"faults": 'fault = "reset", first = 1\nfault = "hang'}, 'write fault = "reset"'),
        ({"latency": "x" * 10_000}, "10,000 characters are too many for a latency"),
        ({"faults": "x" * 1_000_000}, "faults: 1,000,000 characters are too many; 100,000 are"),
    ],
)
def test_unreadable_values_are_refused_with_a_hint(hand, values, why):
    with hand.refused(why):
        hand.upstream.change(values)


def test_a_wrong_value_among_right_ones_changes_none_of_them(hand):
    with hand.refused("servers: 'x'"):
        hand.upstream.change({"latency": "2ms", "servers": "x"})
    with hand.refused("errors"):
        hand.upstream.change({"latency": "2ms", "errors": "503 = 7"})


# What values are made of, in any order.
PARTS = """
    503 = 0.5 1 , { } [ ] fault "reset" ' " # . nan inf 1979-05-27 07:32:00 0x 9e9 every first=1
    p50=1ms 2ms file( /etc/x.csv ) uniform( true \\u00e9 é - _ latency * +
"""
words = st.sampled_from([*re.findall(r"\S+", PARTS), *"\n\t \0\ud800", "9" * 5000])
anything = st.text() | st.lists(words, max_size=12).map("".join)
values_of_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
fields = st.sampled_from(["latency", "servers", "errors", "faults"])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(fields, anything, max_size=2) | st.dictionaries(fields, values_of_json)
)
@example(values={"errors": "503 = 0x" + "f" * 5000})
@example(values={"faults": "fault = 1979-05-27"})
def test_any_typed_text_is_applied_or_refused(hand, values):
    before, why = hand.played, None
    try:
        hand.upstream.change(values)
    except ChangeRefused as error:
        why = str(error)
    after, told = hand.played, hand.told()
    assert len(told) == (after != before)
    assert all((change.profile or QUICK.model_dump(mode="json")) == after for change in told)
    if why is not None:
        assert after == before
        assert why.strip()
        why.encode()  # for the page


def test_a_page_cannot_make_the_mock_read_a_file(hand, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("user,password\nroot,hush\n", encoding="utf-8")
    numbers = tmp_path / "numbers.csv"
    numbers.write_text("5ms\n7ms\n", encoding="utf-8")
    for text in (f"file({secret})", f"file({numbers})", f"0.5*1ms + 0.5*file({numbers})"):
        with hand.refused("no file is read here"):
            hand.upstream.change({"latency": text})


def test_without_a_run_nothing_is_changed(fleet):
    with watched(fleet) as hand:
        upstream = hand.upstream
        for _ in ("before the first", "after it"):
            for act in (upstream.change, upstream.restore, upstream.outage):
                with hand.refused("no test runs: the next one starts with the profile of its form"):
                    act({"latency": "3ms"})
            assert upstream.state()["running"] is False
            upstream.begin(QUICK)
            assert upstream.state()["running"] is True
            upstream.end()


# Outages.


ROUTES = [
    {"path": "/own", "errors": {"404": 1.0}},
    {"path": "/broken", "faults": [{"fault": "reset"}]},
    {"path": "/slow", "latency": "2ms"},
]
PHASE = {"name": "odd", "for": "50m", "changes": {"errors": {"500": 1.0}}}
HARD = {
    "route": {"routes": ROUTES},
    "faults": {"routes": ROUTES, "faults": [{"fault": "hang"}], "errors": {"418": 0.9}},
    "timeline": {"timeline": {"start": "serve", "phases": [PHASE]}},
    "limits": {
        "routes": ROUTES,
        "limits": [{"kind": "fixed_window", "limit": 2, "per": "50m"}],
    },
}


@pytest.mark.parametrize("kind", HARD)
def test_in_an_outage_every_request_is_answered_503(fleet, kind):
    profile = Profile.model_validate({"latency": "1ms", **HARD[kind]})
    with in_hand(fleet, profile) as hand:
        hand.upstream.outage({})
        (change,) = hand.told()
        assert change.text == "outage: every answer is 503"
        assert change.profile == hand.played
        assert hand.statuses("/own", "/broken", "/slow", times=4) == [503] * 12


def test_an_outage_is_over_by_itself(hand, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE", 0.3)
    before = monotonic()
    hand.upstream.outage({})
    begun, over = hand.next(), hand.next()
    assert begun.text == "outage: every answer is 503"
    assert (over.text, over.profile) == ("the outage is over", None)
    assert over.at >= before + module.OUTAGE
    assert hand.statuses("/") == [200]
    assert hand.upstream.state()["outage"] is None
    hand.upstream.change({"latency": "2ms"})  # and others are possible again
    assert hand.next().text == "latency 1ms → 2ms"


def test_after_an_outage_it_plays_what_it_played_before(hand, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE", 0.05)
    hand.upstream.change({"errors": "404 = 1"})
    changed = hand.next()
    hand.upstream.outage({})
    assert hand.next().profile["errors"] == DOWN["errors"]
    assert hand.next().profile == changed.profile == hand.played
    assert hand.statuses("/") == [404]


def test_an_outage_refuses_every_other_change(hand):
    hand.upstream.change({"latency": "2ms"})
    hand.upstream.outage({})
    assert len(hand.told()) == 2
    for act in (hand.upstream.change, hand.upstream.restore, hand.upstream.outage):
        with hand.refused("an outage goes on; it is over in "):
            act({"latency": "3ms"})


def test_in_an_outage_the_panel_shows_what_comes_after_it(hand):
    hand.upstream.change({"latency": "2ms", "errors": "404 = 0.5"})
    before = hand.upstream.state()
    hand.upstream.outage({})
    during = hand.upstream.state()
    assert 0 < during.pop("outage") <= module.OUTAGE
    assert during | {"outage": None} == before
    hand.told()


def test_the_end_of_the_run_is_the_end_of_its_outage(hand):
    hand.upstream.change({"latency": "2ms"})
    hand.upstream.outage({})
    assert len(timers()) == 1
    hand.told()
    hand.upstream.end()
    eventually(lambda: not timers(), 5)
    assert hand.told() == []
    assert hand.statuses("/") == [200]
    assert hand.played == QUICK.model_dump(mode="json")
    assert hand.upstream.state()["outage"] is None
    hand.upstream.begin(QUICK)
    hand.upstream.change({"latency": "4ms"})
    assert [change.text for change in hand.told()] == ["latency 1ms → 4ms"]


# Runs, one after the other.


def test_each_run_begins_with_its_own_profile_and_ends_with_it(fleet):
    with watched(fleet) as hand:
        for profile in (FULL, QUICK, Profile.model_validate({"latency": "3ms"})):
            hand.upstream.begin(profile)
            assert hand.played == profile.model_dump(mode="json")
            assert hand.upstream.state()["planned"] is True
            hand.upstream.change({"latency": "9ms"})
            hand.upstream.end()
            assert hand.played == profile.model_dump(mode="json")
        assert len(hand.told()) == 3


def test_a_profile_that_is_played_already_is_not_restarted(hand):
    """Which would begin its draws and its timeline again."""
    before = hand.version
    hand.upstream.end()
    hand.upstream.begin(QUICK)
    hand.upstream.end()
    assert hand.version == before


# Recordings.


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "seen.csv").write_text("took,what\n1,a\n2,b\n", encoding="utf-8")
    (tmp_path / "fast.csv").write_text("1ms\n2ms\n", encoding="utf-8")
    (tmp_path / "answer.bin").write_bytes(b"\x00as it was")
    profile = tmp_path / "profile.toml"
    profile.write_text(
        'latency = "file(seen.csv, field=took, unit=ms)"\n'
        '[[routes]]\npath = "/file"\nfile = "answer.bin"\n'
        '[[routes]]\npath = "/fast"\nlatency = "file(fast.csv)"\n'
        '[timeline]\n[[timeline.phases]]\nname = "later"\nfor = "5m"\n'
        f'[timeline.phases.changes]\nlatency = "file({tmp_path / "fast.csv"})"\n',
        encoding="utf-8",
    )
    return load(profile, {})


def test_recordings_survive_a_change_an_outage_and_the_way_back(fleet, recorded, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE", 0.05)
    plans = recorded.model_dump(mode="json")
    with in_hand(fleet, recorded) as hand:
        assert hand.played == plans
        told = hand.upstream.state()
        hand.upstream.change({"latency": told["latency"], "errors": "503 = 0.5"})
        assert hand.played == plans | {"errors": {"503": 0.5}}
        hand.upstream.outage({})
        assert [hand.next().text for _ in range(3)][2] == "the outage is over"
        assert hand.played == plans | {"errors": {"503": 0.5}}
        hand.upstream.restore({})
        assert hand.next().profile is None
        assert hand.played == plans
        content = hand.client.get(f"{fleet.mock.url}/file").content
        assert content == b"\x00as it was"


def test_a_recording_of_the_plan_can_be_named_again_by_hand(fleet, recorded):
    with in_hand(fleet, recorded) as hand:
        name = hand.upstream.state()["latency"]
        hand.upstream.change({"latency": "1ms"})
        hand.upstream.change({"latency": name})
        assert [change.profile is None for change in hand.told()] == [False, True]


def test_a_recording_that_is_gone_is_refused_with_its_name(fleet, recorded, tmp_path):
    (tmp_path / "seen.csv").unlink()
    with watched(fleet) as hand:
        with hand.refused("seen.csv: No such file or directory"):
            hand.upstream.begin(recorded)
        hand.upstream.end()


# A mock that is gone.


def test_a_change_of_an_ended_mock_is_refused_and_ends_nothing(tmp_path):
    with mock(tmp_path) as fleet, watched(fleet) as hand:
        hand.upstream.begin(QUICK)
        hand.upstream.change({"latency": "2ms"})
        hand.told()
        kill(fleet)
        for act in (hand.upstream.change, hand.upstream.restore, hand.upstream.outage):
            with pytest.raises(ChangeRefused, match="the mock upstream does not answer: "):
                act({"latency": "3ms"})
        assert hand.told() == []
        assert not timers()
        hand.upstream.end()
        with pytest.raises(ChangeRefused, match="does not answer"):
            hand.upstream.begin(Profile.model_validate({"latency": "8ms"}))
        hand.upstream.end()


def kill(fleet):
    os.kill(fleet.mock.pid, signal.SIGKILL)
    eventually(lambda: "mock" in fleet.dead())


def test_an_outage_that_cannot_end_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE", 0.05)
    with mock(tmp_path) as fleet, watched(fleet) as hand:

        def die_in_the_outage(change):
            if change is not None:
                kill(fleet)
            hand.changed(change)

        hand.upstream.changed = die_in_the_outage
        hand.upstream.begin(QUICK)
        hand.upstream.outage({})
        assert hand.next().text == "outage: every answer is 503"
        assert hand.next() is None
        assert hand.upstream.state()["outage"] is None
        assert hand.upstream.state()["errors"] == "503 = 1.0"
        hand.upstream.end()


def test_files_are_refused_for_a_mock_that_was_already_running(fleet, recorded):
    lent = RunningMock(fleet.mock.url, fleet.mock.control, fleet.mock.pid)
    with watched(fleet) as hand, hand.refused("no file is read here"):
        UpstreamControl(lent, QUICK).begin(recorded)


def test_a_change_is_a_line_of_json(hand):
    hand.upstream.change({"errors": "503 = 0.5"})
    (change,) = hand.told()
    assert UpstreamChanged.model_validate_json(change.model_dump_json()) == change
    assert json.loads(change.model_dump_json())["profile"] == hand.played
