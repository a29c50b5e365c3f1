"""The state of a window: steady queues are called so, real ramps and growing queues are found."""

import random
from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.inputs.windows import Quarter
from loadtests.analysis.points import points
from loadtests.analysis.slos.metrics import Evidence
from loadtests.analysis.slos.slo_result import slo_result
from loadtests.analysis.stats.autocorrelation import half_width, slope
from loadtests.analysis.steady import Steadiness, fall, steadiness, worst
from loadtests.plans.slos import parse
from loadtests.recording.histograms import Histogram
from loadtests.recording.slices import LENGTH
from tests.support.simulated_engine import (
    SimulatedEngine,
    exponential,
    record,
    recorded,
    stage,
    threads,
)

QUEUE = {"queue": threads(10, exponential(0.05))}


def quarters(means, seed=0, each=40):
    """A closed window whose response times have these means, quarter by quarter."""
    rng = random.Random(seed)
    found = []
    for mean in means:
        times = Histogram()
        for _ in range(each):
            times.record(rng.lognormvariate(np.log(mean), 0.4))
        flight = 4.0 * LENGTH
        found.append(Quarter(times, Histogram(), times, ended=each, in_flight=flight))
    return found


def test_too_few_quarters_have_no_state():
    assert steadiness(quarters([0.05] * 11), "closed") == Steadiness(None)
    assert steadiness([], "open") == Steadiness(None)


@pytest.mark.parametrize("count", [20, 80])
def test_constant_series_are_steady(count):
    states = [steadiness(quarters([0.05] * count, seed), "closed").state for seed in range(60)]
    assert states.count("steady") == 60


@pytest.mark.parametrize("users", [10, 40])
def test_a_closed_queue_is_steady(users):
    engines = (SimulatedEngine(QUEUE, seed) for seed in range(12))
    found = [points([record(one, stage(0, "queue", users))])[0] for one in engines]
    assert [point.steady for point in found] == ["steady"] * 12


def test_a_ramp_to_the_end_is_drifting():
    found = steadiness(quarters(np.linspace(0.05, 0.10, 40)), "closed")
    assert found == Steadiness("drifting")


def test_a_warm_up_is_cut_off_where_it_ends():
    warming = [0.2 * 0.6**i for i in range(6)]
    found = steadiness(quarters([0.05 + more for more in warming] + [0.05] * 34), "closed")
    assert found.state == "steady"
    assert 3 <= found.settled <= 8


def test_a_late_jump_is_no_steady_state():
    assert steadiness(quarters([0.05] * 28 + [0.15] * 12), "closed").state == "unsteady"


def test_the_worst_repeat_counts():
    found = worst([Steadiness("steady", 3), Steadiness("drifting"), Steadiness(None)])
    assert found == Steadiness("drifting", 3)
    assert worst([Steadiness(None)]) == Steadiness(None)


def test_an_open_queue_above_its_capacity_is_unstable_and_misses_its_slo():
    played = [record(SimulatedEngine(QUEUE), stage(0, "queue", 250, model="open"))]
    (point,) = (one for one in points(played) if one.request == "all")
    assert (point.steady, point.valid) == ("over-saturated", True)
    assert set(point.response_time.values()) == {None}
    (told,) = point.problems
    assert told.startswith("unstable: ")
    assert "answered of 250/s asked; the queue grew by " in told
    evidence = Evidence("queue", [250], {250: point}, played, None)
    result = slo_result("a", parse("p95 < 10s at 250"), evidence)
    assert (result.status, result.measured) == ("missed", None)
    assert "unstable" in result.why


@pytest.mark.parametrize("arrivals", ["poisson", "even"])
def test_an_open_queue_below_its_capacity_is_not_unstable(arrivals):
    for seed in range(8):
        played = stage(0, "queue", 100, model="open", arrivals=arrivals)
        (point, _) = points([record(SimulatedEngine(QUEUE, seed), played)])
        assert point.steady == "steady"
        assert point.response_time["p95"] is not None


@given(st.lists(st.floats(-1e3, 1e3), min_size=12, max_size=40), st.floats(0.01, 100))
def test_a_half_width_grows_with_its_unit(terms, unit):
    residuals = np.array(terms) - np.mean(terms)
    one, other = half_width([residuals]), half_width([residuals * unit])
    assert (one is None) == (other is None)
    if one is not None:
        assert other == pytest.approx(one * unit, rel=1e-4, abs=1e-9)


def test_a_straight_line_has_its_slope_and_is_no_chance():
    assert slope(np.arange(20) * 2.0 + 5) == (pytest.approx(2.0), pytest.approx(0.0))


def test_a_difference_between_windows_widens():
    rng = np.random.default_rng(1)
    alike = [rng.normal(size=20) for _ in range(4)]
    moved = [one + shift for one, shift in zip(alike, (3, -3, 2, -2), strict=True)]
    assert half_width(moved) > 3 * half_width(alike)


def test_a_related_series_that_lasts_widens_one_too_short_to_show_it():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=20)
    lasting = np.repeat(rng.normal(size=5), 4) + 0.1 * rng.normal(size=20)
    noise, lasting = noise - noise.mean(), lasting - lasting.mean()
    alone = half_width([noise])
    assert half_width([noise], [lasting]) > 1.1 * alone
    assert half_width([noise], [np.zeros(20)]) == alone


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([15] * 16 + [5] * 16 + [2] * 16, (60.0, 10.0)),
        ([15] * 48, None),
        ([15] * 24 + [12] * 24, None),  # by a fifth
        ([1] * 24 + [0] * 24, None),  # by chance
        ([5] * 24 + [15] * 24, None),  # a warm-up
        ([6] * 24 + [0] * 24, None),  # whole waves of answers
        ([], None),
    ],
)
def test_answers_that_become_fewer_within_a_window_are_told(counts, expected):
    window = [replace(quarters([0.05])[0], succeeded=count) for count in counts]
    found = fall(window, 100)
    assert found == (pytest.approx(expected, rel=0.3) if expected else None)
    assert fall(window, 100, taken=5.0) is None


def test_a_service_that_loses_its_places_within_a_window_says_so():
    """Twelve users; each second one of their twelve places of 0.2 s is lost."""
    rng, free = random.Random(0), [(0.0, 13.0)] + [(0.0, 1.0 + n) for n in range(11)]
    turns, requests = [(rng.uniform(0, 0.2), user) for user in range(12)], []
    heapify(turns)
    while turns:
        now, user = heappop(turns)
        free = [(at, lost) for at, lost in free if max(at, now) < lost]
        if now >= 12 or not free:
            continue
        heapify(free)
        at, lost = heappop(free)
        ends = max(at, now) + rng.uniform(0.18, 0.22)
        heappush(free, (ends, lost))
        requests.append((now, ends, False))
        heappush(turns, (ends, user))
    found = recorded(stage(0, "leaking", 12, settle=0.0, measure=12.0), iter(requests))
    point = points([found])[0]
    told = "; ".join(point.problems)
    assert point.steady in ("drifting", "unsteady"), told
    assert "were answered in the first third of the window and" in told
