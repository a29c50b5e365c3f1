"""Where the time goes, of the mean response and of the slow ones, against each known request."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.phases import REST, difference, spent
from loadtests.analysis.points import points
from loadtests.recording.histograms import Histogram, merged
from loadtests.recording.phases import NAMES, PhaseSums
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    record,
    stage,
)

EMPTY = [0.0] * len(NAMES)


def now_and_then(seconds, chance):
    return lambda rng: seconds if rng.random() < chance else 0.0


def point(system, level, request="all", **options):
    engine = SimulatedEngine({"a": system})
    records = [record(engine, stage(0, "a", level, **options))]
    (found,) = (one for one in points(records) if one.request == request)
    return found, engine.told


def phases(sums, told):
    """The phases of responses that were all traced, in one quarter second."""
    times = Histogram()
    for seconds, _ in told:
        times.record(seconds)
    found = spent([times], [sums])
    return found.phases, found.problem


def told_by(told):
    return phases(summed(told), told)


def summed(told):
    sums = PhaseSums()
    for seconds, parts in told:
        sums.record(seconds, parts)
    return sums


def test_the_slow_ones_spend_their_time_elsewhere_than_the_mean_one():
    stations = [
        Station(now_and_then(0.3, 0.1), phase="connect"),
        Station(constant(0.05), phase="upstream"),
    ]
    found, told = point(System(stations, tells=1.0), 20, measure=20.0)
    connects = sum(parts[NAMES.index("connect")] for _, parts in told) / len(told)
    assert connects == pytest.approx(0.03, rel=0.15)
    for name, connect in (("mean", connects), ("p50", 0.0), ("p95", 0.3)):
        assert found.phases[name]["connect"] == pytest.approx(connect, rel=1e-3, abs=1e-6)
        assert found.phases[name]["upstream"] == pytest.approx(0.05, rel=1e-3)
        assert sum(found.phases[name].values()) == pytest.approx(0.05 + connect, rel=1e-3)


def test_waiting_and_working_are_separate_at_each_quantile():
    stations = [Station(exponential(0.03), 10), Station(exponential(0.004), 1, "own", "loop_wait")]
    found, told = point(System(stations, tells=1.0), 40, measure=20.0)
    told = sorted(told)
    assert len(told) > 1000
    for name, first, last in (("mean", 0, 1), ("p50", 0.49, 0.51), ("p95", 0.94, 0.96)):
        there = told[round(first * len(told)) : round(last * len(told))]
        seconds = sum(one for one, _ in there) / len(there)
        assert sum(found.phases[name].values()) == pytest.approx(seconds, rel=0.03)
        for index, phase in enumerate(NAMES):
            exact = sum(parts[index] for _, parts in there) / len(there)
            # A bin is a tenth wide; those in the same bin are alike, not the same.
            assert found.phases[name][phase] == pytest.approx(exact, abs=0.1 * seconds)
            assert (found.phases[name][phase] > 0) == (exact > 0)


def test_each_kind_of_request_has_phases_of_its_own():
    system = System([Station(constant(0.05))], tells=1.0)
    for request in ("all", "/a", "/b"):
        found, _ = point(system, 10, request, requests={"/a": 3.0, "/b": 1.0})
        assert found.phases["mean"]["upstream"] == pytest.approx(0.05)
    assert set(found.phases["p95"]) == {*NAMES, REST}


@pytest.mark.parametrize(
    ("tells", "known"), [(1.0, {"mean", "p50", "p95"}), (0.05, {"mean", "p50", "p95"}),
                         (0.012, {"mean", "p50", "p95"}), (0.003, set())],
)  # fmt: skip
def test_phases_are_known_where_enough_responses_are_traced(tells, known):
    found, _ = point(System([Station(constant(0.05))], tells=tells), 40)
    assert set(found.phases) == set(found.phases_interval) == known
    assert found.valid
    assert found.response_time["p95"].value == pytest.approx(0.05, rel=1e-3)
    notes = [text.split(":")[0] for text in found.problems]
    assert notes == ([] if known else ["phases unknown"])


def test_a_sample_has_the_phases_of_all_within_their_intervals():
    """Hardly any interval of 40 values, which depend on each other, misses."""
    stations = [Station(exponential(0.03), 10), Station(exponential(0.004), 1, "own", "loop_wait")]
    _, told = point(System(stations, tells=1.0), 40, measure=60.0)
    told.sort()
    missed = 0
    for seed in range(5):
        found, _ = point(System(stations, tells=0.1), 40, measure=20.0 + seed)
        assert found.traced.difference.low < 0 < found.traced.difference.high
        for name, first, last in (("mean", 0, 1), ("p95", 0.94, 0.96)):
            there = told[round(first * len(told)) : round(last * len(told))]
            for phase in ("upstream", "thread_wait", "own", "loop_wait"):
                exact = sum(parts[NAMES.index(phase)] for _, parts in there) / len(there)
                low, high = found.phases_interval[name][phase]
                missed += not low <= exact <= high
    assert missed <= 5


@pytest.mark.parametrize("seed", range(5))
def test_traced_responses_at_p95_take_as_long_as_p95(seed):
    draw = random.Random(seed)
    succeeded, traced = [], []
    for _ in range(20):
        times, sums = Histogram(), PhaseSums()
        for number in range(75):
            seconds = draw.lognormvariate(math.log(0.05), 0.4) * (10 if draw.random() < 0.02 else 1)
            times.record(seconds)
            if number % 10 == 0:
                sums.record(seconds, [0.0, 0, 0, 0, seconds, 0, 0, 0])
        succeeded.append(times)
        traced.append(sums)
    found = spent(succeeded, traced)
    for name, q in (("p50", 0.5), ("p95", 0.95)):
        time = merged(succeeded).quantile(q)
        assert found.phases[name]["upstream"] == pytest.approx(time, rel=0.02)


def mixed(slower=1.0):
    """Quarter seconds of fast and of slow answers: of the slow ones all are traced."""
    draw = random.Random(1)
    succeeded, traced = [], []
    for quarter in range(40):
        seconds, share = (0.2, 1.0) if quarter % 2 else (0.05, 0.2)
        times, sums = Histogram(), PhaseSums()
        for _ in range(10 if quarter % 2 else 100):
            time = seconds * draw.uniform(0.9, 1.1)
            if draw.random() < share * 0.8:
                time *= slower
                sums.record(time, [0.0, 0, 0, 0, time, 0, 0, 0])
            times.record(time)
        succeeded.append(times)
        traced.append(sums)
    return spent(succeeded, traced)


def test_quarter_seconds_of_which_more_is_traced_count_for_no_more():
    found = mixed()
    mean = (100 * 0.05 + 10 * 0.2) / 110
    assert found.phases["mean"]["upstream"] == pytest.approx(mean, rel=0.02)
    assert difference(found.traced) is None
    assert found.traced.difference.value == pytest.approx(0, abs=0.01)


def test_slower_traced_requests_are_reported():
    found = mixed(slower=1.05)
    assert found.traced.difference.value == pytest.approx(0.05, abs=0.01)
    assert difference(found.traced).startswith("traced requests take 5")


def test_a_service_without_telemetry_has_no_phases_and_no_problem():
    found, _ = point(System([Station(constant(0.05))]), 10)
    assert (found.phases, found.problems) == ({}, [])


def test_unstable_levels_have_no_phases():
    system = System([Station(exponential(0.05), 10)], tells=1.0)
    found, _ = point(system, 400, model="open", measure=20.0)
    assert found.steady == "over-saturated"
    assert found.phases == {}


def test_a_quantile_that_is_not_known_has_no_phases():
    found, _ = point(System([Station(constant(0.5))], tells=1.0), 4)
    assert found.response_time["p95"] is None
    assert set(found.phases) == {"mean", "p50"}


def test_unaccounted_time_completes_the_response_time():
    found, problem = told_by([(0.05, [0.0, 0, 0, 0, 0.046, 0, 0, 0])] * 100)
    assert problem is None
    assert found["p95"][REST] == pytest.approx(0.004)
    assert found["p95"]["upstream"] == pytest.approx(0.046)


def test_phases_that_are_longer_than_the_time_by_a_little_are_scaled_to_it():
    found, problem = told_by([(0.05, [0.0, 0, 0, 0.01, 0.0408, 0, 0, 0])] * 100)
    assert problem is None
    assert found["mean"][REST] == 0.0
    assert sum(found["mean"].values()) == pytest.approx(0.05)
    assert found["mean"]["connect"] == pytest.approx(0.01 * 0.05 / 0.0508)


@pytest.mark.parametrize(
    ("seconds", "told", "says"),
    [
        (0.050, 0.0520, "are 2 ms longer than the mean response of 50 ms"),
        (0.500, 0.5150, "are 15 ms longer than the mean response of 500 ms"),
        (0.010, 0.0040, "does not account for 6 ms of the mean 10 ms"),
        (0.100, 0.0700, "does not account for 30 ms of the mean 100 ms"),
    ],
)
def test_phases_that_do_not_add_up_are_unknown_and_reported(seconds, told, says):
    found, problem = told_by([(seconds, [0.0, 0, 0, 0, told, 0, 0, 0])] * 100)
    assert found == {}
    assert problem.startswith("phases unknown: ")
    assert problem.endswith(says)


requests = st.lists(
    st.tuples(st.floats(1e-6, 60.0), st.lists(st.floats(0, 1), min_size=8, max_size=8)),
    min_size=1,
    max_size=200,
)


@given(requests, st.randoms())
def test_phases_add_up_in_any_order(drawn, random):
    told = [
        (seconds, [seconds * share / max(sum(shares), 1.0) for share in shares])
        for seconds, shares in drawn
    ]
    found, problem = phases(summed(told), told)
    if problem is not None:
        return
    mean = sum(seconds for seconds, _ in told) / len(told)
    assert sum(found["mean"].values()) == pytest.approx(mean)
    low, high = min(told)[0], max(told)[0]
    for parts in found.values():
        assert all(math.isfinite(value) and value >= 0 for value in parts.values())
        assert low * 0.999 <= sum(parts.values()) <= high * 1.001
    halves = summed(told[::2])
    halves.add(summed(told[1::2]))
    random.shuffle(told)
    for again in (halves, summed(told)):
        for name, parts in phases(again, told)[0].items():
            assert parts == pytest.approx(found[name], abs=1e-9)
