"""Which events of a locustfile are requests, and the rows of the others."""

import pytest

from loadtests.engine.apart import MOST, EventSorter
from loadtests.engine.recorder import Recorder
from loadtests.recording.histograms import Histogram
from loadtests.recording.slices import OTHER_NAMES


def rows(apart):
    return {(one.kind, one.request_type, one.name): one for one in apart.rows()}


@pytest.mark.parametrize("method", ["GET", "post", "Patch", "HEAD", "OPTIONS", "DELETE", "PUT"])
def test_http_methods_are_requests_in_any_case_of_letters(method):
    assert EventSorter().kind(method, "/data") is None


@pytest.mark.parametrize("request_type", ["METRIC", "JOURNEY", "grpc", "WSR", ""])
def test_other_request_types_are_timings(request_type):
    assert EventSorter().kind(request_type, "/data") == "timing"


def test_the_plan_says_which_types_and_names_are_requests():
    apart = EventSorter(requests=["grpc", "hello"], metrics=["TOKENS", "GET"])
    assert apart.kind("grpc", "any") is None
    assert apart.kind("custom", "hello") is None
    assert apart.kind("POST", "TOKENS") == "timing"
    assert apart.kind("GET", "/data") == "timing"
    assert apart.kind("POST", "/data") is None


def test_requests_of_users_in_on_start_are_apart_and_their_timings_stay_timings():
    apart = EventSorter(starting=lambda: True)
    assert apart.kind("POST", "/login") == "on_start"
    assert apart.kind("METRIC", "tokens") == "timing"


def test_requests_of_no_user_are_apart_unless_the_plan_names_them():
    apart = EventSorter(requests=["MQTT", "/push"], background=lambda: True)
    assert apart.kind("GET", "/poll") == "background"
    assert apart.kind("METRIC", "tokens") == "timing"
    assert apart.kind("MQTT", "topic") is None
    assert apart.kind("GET", "/push") is None


def test_rows_hold_counts_failures_and_the_numbers_as_they_were_reported():
    apart = EventSorter()
    for tokens in (500, 512, 524):
        apart.record("timing", "METRIC", "tokens", tokens, failed=tokens == 524)
    [row] = apart.rows()
    assert (row.count, row.failed) == (3, 1)
    assert Histogram.decode(row.times).quantile(0.5) * 1000 == pytest.approx(512, rel=0.001)
    apart.forget()
    assert apart.rows() == ()


def test_rows_are_bounded_where_names_have_numbers_in_them():
    apart = EventSorter()
    for number in range(2 * MOST):
        apart.record("on_start", "POST", f"/login/{number}", 1, failed=False)
    found = rows(apart)
    assert len(found) == MOST + 1
    assert found["on_start", "POST", OTHER_NAMES].count == MOST


def test_the_recorder_counts_what_is_apart_in_no_slice():
    recorder = Recorder()
    recorder.begin(0, 0.0, 1e9)
    recorder.on_request(name="/data", response_time=50, request_type="GET")
    recorder.on_request(name="tokens", response_time=512, request_type="METRIC")
    assert {part.request for part in recorder.drain()} == {"/data"}
    assert set(rows(recorder.apart)) == {("timing", "METRIC", "tokens")}


def test_timings_of_before_the_window_are_not_counted():
    recorder = Recorder()
    recorder.begin(0, 0.0, 1e9, settle=1e8)
    recorder.on_request(name="tokens", response_time=512, request_type="METRIC")
    assert recorder.apart.rows() == ()
