"""Points: counts that can be checked by hand, and quantiles against the raw times."""

import pytest

from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.points import Growing, points, slow_quantiles
from loadtests.recording.messages import GeneratorLost
from loadtests.results import Point
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    record,
    stage,
    threads,
)

CLOCKWORK = {"one": threads(1, constant(0.05)), "many": threads(100, constant(0.05))}


def only(records, request="all", samples=()):
    (found,) = (p for p in points(records, samples) if p.request == request)
    return found


def test_a_single_server_answers_once_in_each_service_time():
    found = only([record(SimulatedEngine(CLOCKWORK), stage(0, "one", 5))])
    assert found.throughput.value == pytest.approx(20, abs=0.2)
    assert found.response_time["p95"].value == pytest.approx(0.25, rel=1e-3)
    assert found.service_time == found.response_time
    assert found.in_flight == pytest.approx(5, abs=1e-6)
    assert (found.seconds, found.valid) == (5.0, True)


def test_quantiles_are_those_of_the_raw_times():
    engine = SimulatedEngine({"a": threads(10, exponential(0.03))})
    found = only([record(engine, stage(0, "a", 20))])
    times = sorted(engine.times)
    assert found.requests == len(times)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = times[-int(-q * len(times) // 1) - 1]
        assert found.response_time[name].value == pytest.approx(exact, rel=0.0005)
    assert found.response_time["mean"].value == pytest.approx(sum(times) / len(times), rel=1e-3)


def test_two_generators_see_together_what_one_sees_alone():
    alone, shared = (
        only([record(SimulatedEngine(CLOCKWORK, generators=count), stage(0, "many", 7))])
        for count in (1, 2)
    )
    assert alone == shared


def test_repeats_are_pooled_and_counted_in_the_seconds():
    engine = SimulatedEngine(CLOCKWORK)
    repeats = [record(engine, stage(number, "many", 10)) for number in range(3)]
    found = only(repeats)
    assert found.seconds == 15.0
    assert found.requests == sum(only([one]).requests for one in repeats)
    assert found.throughput.value == pytest.approx(200, rel=0.01)


def test_each_kind_of_request_has_a_point_and_all_of_them_another():
    played = stage(0, "many", 10, requests={"/a": 3.0, "/b": 1.0})
    records = [record(SimulatedEngine(CLOCKWORK), played)]
    by_name = {point.request: point for point in points(records)}
    assert list(by_name) == ["all", "/a", "/b"]
    assert by_name["all"].requests == by_name["/a"].requests + by_name["/b"].requests
    assert by_name["/a"].requests == pytest.approx(3 * by_name["/b"].requests, rel=0.15)
    assert by_name["/a"].in_flight + by_name["/b"].in_flight == pytest.approx(10)


def test_failures_are_counted_by_kind_and_are_not_in_the_throughput():
    system = System([Station(constant(0.05), 100)], failing=lambda level: 0.25)
    records = [record(SimulatedEngine({"a": system}), stage(0, "a", 40))]
    found = only(records)
    assert found.errors.rate == pytest.approx(0.25, abs=0.03)
    assert found.errors.kinds == {"503": round(found.errors.rate * found.requests)}
    assert found.throughput.value == pytest.approx(800 * (1 - found.errors.rate), rel=0.02)
    assert found.response_time["p95"].value == pytest.approx(0.05, rel=1e-3)
    assert slow_quantiles(records)["p50"].value == pytest.approx(0.05, rel=1e-3)
    assert slow_quantiles(records)["p95"].value == float("inf")
    assert found.response_time_with_failures == slow_quantiles(records) | {
        "p95": None,
        "p99": None,
    }  # for JSON
    assert Point.model_validate_json(found.model_dump_json()) == found


def test_without_failures_each_time_is_shown_once():
    assert (
        only([record(SimulatedEngine(CLOCKWORK), stage(0, "many", 4))]).response_time_with_failures
        == {}
    )


def test_an_incomplete_repeat_is_left_out_and_said():
    engine = SimulatedEngine(CLOCKWORK, dies_at=1)
    repeats = [record(engine, stage(number, "many", 4)) for number in range(2)]
    found = only(repeats)
    assert (found.valid, found.seconds) == (True, 5.0)
    assert "1 of 2 repeats are not complete" in found.problems[0]


def test_a_stage_of_which_nothing_came_back_has_no_point():
    assert points([StageRecord(stage(0, "one", 5))]) == []


def test_a_stage_lost_before_its_begin_has_an_invalid_point_with_the_reason():
    lost = StageRecord(stage(0, "one", 5))
    lost.add(GeneratorLost(stage=0, generator="g", reason="did not take up the stage"))
    found = only([lost])
    assert (found.valid, found.requests, found.in_flight) == (False, 0, None)
    assert found.problems == ["not complete: generator g did not take up the stage"]


def test_a_stage_that_broke_off_is_measured_as_far_as_it_was_reported():
    messages = list(SimulatedEngine(CLOCKWORK).play(stage(0, "many", 10)))
    cut = StageRecord(stage(0, "many", 10))
    for message in messages[:8]:
        cut.add(message)
    found = only([cut])
    assert not found.valid
    assert 0 < found.seconds < 5
    assert "did not finish it" in found.problems[0]


def test_answers_longer_than_the_stage_are_measured_all_the_same():
    engine = SimulatedEngine({"a": threads(99, constant(30.0))})
    found = only([record(engine, stage(0, "a", 90))])
    assert (found.requests, found.valid) == (90, True)
    assert found.throughput.value == pytest.approx(90 / 30, rel=1e-3)
    assert found.response_time["p95"].value == pytest.approx(30, rel=1e-3)
    assert found.in_flight == pytest.approx(90)
    assert found.problems[0].startswith("90 of 90 users waited for one answer")


def test_a_window_in_which_everybody_thinks_says_so():
    engine = SimulatedEngine({"a": threads(9, constant(0.05))})
    found = only([record(engine, stage(0, "a", 1, think_time=600.0))])
    assert (found.requests, found.throughput.value, found.valid) == (0, 0.0, False)
    assert "no request started in the window" in found.problems[0]


def sample(at, cpu, *, seconds=0.0):
    return {
        "at": at,
        "processes": {"many": {"cpu": cpu, "rss": 5e7}, "mock": {"cpu": 0.1}},
        "mock": {"epoch": "e", "elapsed": at, "in_flight": {"seconds": seconds}},
    }


def test_resources_are_means_over_the_samples_in_the_window():
    played = record(SimulatedEngine(CLOCKWORK), stage(0, "many", 10))
    begun = played.begun.at
    # Settling is over at begun + 2, the window at begun + 7.
    cpus = [9.0, 9.0, 9.0, 0.4, 0.5, 0.6, 0.5, 0.5, 9.0]
    samples = [sample(begun + n, cpu, seconds=10.0 * n) for n, cpu in enumerate(cpus)]
    found = only([played], samples=samples).resources
    assert found == {
        "app_cpu": pytest.approx(0.5),
        "mock_cpu": pytest.approx(0.1),
        "app_rss": 5e7,
        "upstream_in_flight": pytest.approx(10.0),
        "generator_cpu": 0.2,
    }


def test_unsampled_values_are_absent():
    played = record(SimulatedEngine(CLOCKWORK), stage(0, "many", 10))
    bare = [{"at": played.begun.at + n, "mock": None} for n in range(8)]
    assert only([played], samples=bare).resources == {"generator_cpu": 0.2}


def test_stage_by_stage_computation_equals_computation_at_once():
    engine = SimulatedEngine({"a": threads(10, exponential(0.03)), "b": threads(4, constant(0.05))})
    growing, records = Growing(), []
    for number, (name, level) in enumerate([("a", 5), ("b", 5), ("a", 20), ("b", 5), ("a", 5)]):
        records.append(record(engine, stage(number, name, level)))
        assert growing(records, ()) == points(records)


def test_samples_that_come_after_the_latest_stage_count_for_it():
    engine = SimulatedEngine(CLOCKWORK)
    growing, records = Growing(), [record(engine, stage(0, "one", 5))]
    start, end = records[0].window
    sample = {"at": start, "processes": {"generator": {"cpu": 0.2}}, "mock": None}
    before = growing(records, ())
    assert growing(records, [sample, sample | {"at": end}]) != before
