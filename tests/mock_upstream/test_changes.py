"""A changed profile goes on where it was; another profile begins again."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.profiles.merge_patch import difference, merged
from tests.mock_upstream.test_playing import control, playing, timing
from tests.support.servers import MockUpstream, mock_upstream

pytestmark = pytest.mark.processes

RESETS = {"fault": "error-status", "status": 500, "first": 2}
EVERY = {"fault": "error-status", "status": 502, "every": 3}
PHASES = [{"name": "calm", "for": "10m"}]


@pytest.fixture(scope="module")
def server() -> Iterator[MockUpstream]:
    with mock_upstream() as mock:
        yield mock


def delays(mock: MockUpstream, number: int) -> list[float]:
    with httpx.Client(base_url=mock.url) as client:
        return [timing(client.get("/x"))["asked"] for _ in range(number)]


def statuses(mock: MockUpstream, number: int) -> list[int]:
    with httpx.Client(base_url=mock.url) as client:
        return [client.get("/x").status_code for _ in range(number)]


def test_draws_go_on_when_a_value_is_changed(server: MockUpstream) -> None:
    with playing(server, latency="uniform(0ms,9ms)") as mock:
        whole = delays(mock, 6)
    with playing(server, latency="uniform(0ms,9ms)") as mock:
        first = delays(mock, 3)
        control(mock, "PATCH", "/profile", {"network": "0ms", "errors": {"503": 0.0}})
        assert first + delays(mock, 3) == whole


def test_another_profile_or_seed_restarts_the_draws(server: MockUpstream) -> None:
    profile = {"latency": "uniform(0ms,9ms)"}
    with playing(server, **profile) as mock:
        whole = delays(mock, 3)
        control(mock, "PUT", "/profile", profile)
        assert delays(mock, 3) == whole
        control(mock, "PATCH", "/profile", {"seed": 1})
        assert delays(mock, 3) != whole
        control(mock, "PATCH", "/profile", {"seed": 0})
        assert delays(mock, 3) == whole


def test_the_first_requests_are_not_the_first_again_when_a_value_is_changed(
    server: MockUpstream,
) -> None:
    with playing(server, latency="0ms", faults=[RESETS]) as mock:
        assert statuses(mock, 3) == [500, 500, 200]
        control(mock, "PATCH", "/profile", {"latency": "1ms"})
        assert statuses(mock, 2) == [200, 200]
        control(mock, "PATCH", "/profile", {"faults": [EVERY, RESETS]})
        assert statuses(mock, 3) == [200, 200, 502]


def test_a_fault_counts_from_when_it_came_into_the_profile(server: MockUpstream) -> None:
    with playing(server, latency="0ms") as mock:
        assert statuses(mock, 4) == [200] * 4
        for _ in range(2):
            control(mock, "PATCH", "/profile", {"faults": [RESETS]})
            assert statuses(mock, 3) == [500, 500, 200]
            control(mock, "PATCH", "/profile", {"faults": None})
            assert statuses(mock, 1) == [200]


def test_the_timeline_goes_on_when_a_value_is_changed(server: MockUpstream) -> None:
    profile = {"latency": "0ms", "timeline": {"phases": PHASES}}
    with playing(server, **profile) as mock:
        control(mock, "POST", "/timeline/start")
        control(mock, "PATCH", "/profile", {"latency": "1ms"})
        assert mock.ledger()["phase"] == "calm"
        control(mock, "PUT", "/profile", profile)
        assert mock.ledger()["phase"] == "before"


VALUES = st.recursive(
    st.none() | st.integers() | st.lists(st.none() | st.integers(), max_size=2),
    lambda values: st.dictionaries(st.sampled_from("abc"), values, max_size=3),
)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_none(part) for name, part in value.items() if part is not None}
    return value


@given(*[st.dictionaries(st.sampled_from("abc"), VALUES)] * 2)
def test_a_merge_patch_turns_one_profile_into_the_other(before: Any, after: Any) -> None:
    patched = merged(without_none(before), difference(before, after))
    assert patched == without_none(after)
