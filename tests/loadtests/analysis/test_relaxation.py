"""Windows of the open model that are too short for their rate."""

import pytest

from loadtests.analysis.inputs.records import Header, Record
from loadtests.analysis.points import points
from loadtests.analysis.runs import run_of
from loadtests.analysis.stats.relaxation import TELLING, advised, marked, needed
from loadtests.results import Knee
from tests.support.recorded import analysed
from tests.support.simulated_engine import (
    SimulatedEngine,
    exponential,
    ladder,
    record,
    stage,
    threads,
)

TEN = {"a": threads(10, exponential(0.05))}  # 200/s at most


def at(rate, seconds, knee=200.0):
    records = ladder(SimulatedEngine(TEN), "a", [rate], measure=seconds, model="open")
    found = marked(points(records), {"a": Knee(level=knee)})
    return next(point for point in found if point.request == "all")


def has_intervals(point):
    return {time.low is not None for time in point.response_time.values() if time} == {True}


def test_the_time_that_a_window_takes_is_known_from_the_rate_and_the_knee():
    assert needed(160, 200) == pytest.approx(54, rel=0.01)
    assert needed(50, 200) == pytest.approx(2.4)
    assert needed(200, 200) == needed(300, 200) == float("inf")


def test_a_short_window_has_no_intervals_of_times_and_proposes_a_length():
    point = at(160, 10.0)
    assert not has_intervals(point)
    assert point.response_time["p50"].value > 0
    assert point.throughput.low is not None
    assert point.problems[-1] == (
        "10 s are too short for intervals of response times at 80 % of the knee, 200/s; "
        'measure = "54s" would do'
    )


def test_at_the_knee_itself_no_window_is_proposed():
    assert at(199, 5.0).problems[-1] == (
        "5 s are too short for intervals of response times at 99.5 % of the knee, 200/s, and so "
        "are 10 minutes"
    )


@pytest.mark.parametrize(("rate", "seconds", "knee"), [(100, 10.0, 200.0), (160, 5.0, None)])
def test_long_windows_and_those_without_a_knee_are_unchanged(rate, seconds, knee):
    assert has_intervals(at(rate, seconds, knee))


def test_the_closed_model_is_unchanged():
    records = ladder(SimulatedEngine(TEN), "a", [9])
    assert marked(points(records), {"a": Knee(level=10)}) == points(records)


def test_a_run_knows_its_knee_and_says_which_of_its_windows_were_too_short():
    records = ladder(SimulatedEngine(TEN), "a", [50, 100, 180, 300], measure=10.0, model="open")
    run = run_of(Record(Header(id="x", name="x"), stages=records, status="complete"))
    short = {point.level for point in run.points if "too short" in " ".join(point.problems)}
    assert short == {180}


def test_the_window_that_is_proposed_allows_for_a_knee_that_is_lower_than_it_looks():
    sure, unsure = Knee(level=200.0, low=200.0), Knee(level=200.0, low=170.0)
    assert advised(160, sure) == pytest.approx(needed(160, 200))
    assert advised(160, unsure) > 1.5 * needed(160, 200)
    assert advised(195, unsure) == float("inf"), "no window is proposed at what may be the knee"


def test_an_undecided_slo_of_the_open_model_proposes_relaxation_times_of_its_queue():
    rates = {20: 5.0, 50: 5.0, 80: 5.0, 150: 5.0, 200: 5.0}
    system = {"a": threads(1, exponential(0.01))}
    engine = SimulatedEngine(system, seed=2)
    records = [
        record(engine, stage(number, "a", rate, model="open", measure=seconds))
        for number, (rate, seconds) in enumerate(rates.items())
    ]
    run = analysed(records, {"slow": "p95 < 300ms at 80"})
    [found] = run.slos
    assert found.status == "unresolved"
    assert found.measure >= needed(80, run.knees["a"].level, TELLING)
    assert found.measure >= 15, "a relaxation time is 1 / 100 / (1 - sqrt(0.8))^2 s, 0.9 s"
