"""The recorder: what Locust's request event becomes, with a clock that the test sets."""

from types import SimpleNamespace

import gevent
import pytest

from loadtests.engine import recorder as module
from loadtests.engine.apart import MOST
from loadtests.engine.failures import RequestFailed
from loadtests.engine.recorder import Recorder
from loadtests.recording.messages import SliceMessage
from loadtests.recording.slices import OTHER_NAMES

ORIGIN = 100.0


class CatchResponseError(Exception):
    """Locust's own would patch the process when it is imported."""


@pytest.fixture
def listening(monkeypatch):
    """A recorder of one stage of 10 s; `answer` reports a request that ended `at` that moment."""
    recorder = Recorder()
    recorder.begin(0, ORIGIN, 10.0)

    def answer(at, seconds, *, status=200, length=0, error=None):
        monkeypatch.setattr(module, "perf_counter", lambda: ORIGIN + at)
        recorder.on_request(
            name="/",
            response_time=seconds * 1000,
            response_length=length,
            exception=error,
            response=SimpleNamespace(status_code=status),
        )

    return recorder, answer


def total(recorder):
    parts = recorder.drain()
    whole = parts[0]
    for part in parts[1:]:
        whole.add(part)
    return whole


def alone(work, *arguments):
    """Run in a separate greenlet, as each user has one."""
    gevent.spawn(work, *arguments).join()


def test_successes_are_counted_by_status_and_their_bodies_are_added_up(listening):
    recorder, answer = listening
    answer(1.0, 0.1, length=20)
    answer(1.2, 0.1, status=204)
    answer(1.4, 0.1, length=30)
    answer(1.6, 0.1, status=500, length=999, error=RequestFailed("500", "status 500"))
    found = total(recorder)
    assert (found.statuses, found.bytes) == ({"200": 2, "204": 1}, 50)
    assert found.kinds == {"500": 1}


def test_the_pause_is_that_between_two_requests_of_one_user(listening):
    recorder, answer = listening

    def first():
        answer(1.0, 0.5)
        answer(2.0, 0.4)  # began at 1.6

    def other():
        answer(3.0, 0.5)

    alone(first)
    alone(other)
    found = total(recorder)
    assert (found.started, found.followed) == (3, 1)
    assert found.idle == pytest.approx(0.6)


def test_a_pause_does_not_reach_back_into_the_stage_before(listening):
    recorder, answer = listening

    def user():
        answer(9.0, 0.5)
        recorder.begin(1, ORIGIN + 20, 10.0)
        answer(21.0, 0.5)

    alone(user)
    found = total(recorder)
    assert (found.started, found.followed) == (1, 0)


def test_requests_that_start_after_the_end_of_the_stage_are_counted_and_not_recorded(listening):
    recorder, answer = listening
    answer(9.9, 0.1)
    answer(10.5, 0.1)
    answer(10.6, 0.2)
    assert total(recorder).started == 1
    assert recorder.beyond == 2
    recorder.begin(1, ORIGIN, 10.0)
    assert recorder.beyond == 0


@pytest.mark.parametrize("time", [None, -5, float("nan"), float("inf"), "12", object()])
def test_an_event_whose_response_time_is_no_time_is_left_out_and_counted(listening, time):
    recorder, _ = listening
    recorder.on_request(name="/odd", response_time=time, request_type="GET")
    recorder.on_request(name="tokens", response_time=time, request_type="METRIC")
    assert not recorder.drain()
    assert not recorder.apart.rows()
    left_out = recorder.drain_unusable()
    assert [text.partition(" (")[0] for text in left_out] == ["GET /odd", "METRIC tokens"]
    assert not recorder.drain_unusable()


@pytest.mark.parametrize(
    ("length", "size"), [(None, 0), (-7, 0), ("12", 0), (float("inf"), 0), (12.0, 12), (12, 12)]
)
def test_an_invalid_length_counts_as_none(listening, monkeypatch, length, size):
    recorder, _ = listening
    monkeypatch.setattr(module, "perf_counter", lambda: ORIGIN + 1.1)
    recorder.on_request(name=None, response_time=5, response_length=length, request_type="get")
    [part] = recorder.drain()
    assert (part.request, part.bytes, part.ok.count) == ("None", size, 1)
    assert SliceMessage.of(part)


@pytest.mark.parametrize(
    ("exception", "kinds"),
    [
        ("no  such\nitem", {"no such item": 1}),
        (True, {"True": 1}),
        ("", {}),
        (False, {}),
        (ValueError("x"), {"ValueError": 1}),
    ],
)
def test_an_exception_that_is_a_text_is_a_failure_by_that_text(
    listening, monkeypatch, exception, kinds
):
    recorder, _ = listening
    monkeypatch.setattr(module, "perf_counter", lambda: ORIGIN + 1)
    recorder.on_request(name="/", response_time=5, exception=exception)
    assert total(recorder).kinds == kinds


def test_a_success_that_the_locustfile_calls_a_failure_has_its_words(listening):
    recorder, answer = listening
    answer(1.0, 0.1, error=CatchResponseError("price\nmissing"))
    answer(1.1, 0.1, status=500, error=CatchResponseError("price missing"))
    answer(1.2, 0.1, error=CatchResponseError("x" * 100))
    assert total(recorder).kinds == {"200 price missing": 1, "500": 1, f"200 {'x' * 56}": 1}


def test_words_with_numbers_in_them_are_told_apart_up_to_a_limit(listening):
    recorder, answer = listening
    for number in range(100):
        answer(1.0, 0.1, error=CatchResponseError(f"order {number} missing"))
    kinds = total(recorder).kinds
    assert kinds == {f"200 order {n} missing": 1 for n in range(module.MOST)} | {"200": 80}


def test_names_are_told_apart_up_to_a_limit(listening, monkeypatch):
    recorder, _ = listening
    monkeypatch.setattr(module, "perf_counter", lambda: ORIGIN + 1)
    for number in range(1000):
        recorder.on_request(name=f"/items/{number}", response_time=0)
    counts = {part.request: part.started for part in recorder.drain()}
    assert counts.pop(OTHER_NAMES) == 1000 - len(counts)
    assert counts == {f"/items/{n}": 1 for n in range(MOST)}
