"""Intervals: the textbook cases, and coverage on queues whose truth is known."""

import math
import random
from collections import Counter

import pytest
import scipy
from hypothesis import example, given
from hypothesis import strategies as st

from loadtests.analysis.points import points
from loadtests.analysis.stats import intervals
from loadtests.analysis.stats.sample_size import enough
from loadtests.recording.histograms import Histogram, merged
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads


def histogram(seconds):
    made = Histogram()
    for one in seconds:
        made.record(one)
    return made


@pytest.mark.parametrize(("q", "least"), [(0.5, 6), (0.95, 72), (0.99, 368)])
def test_a_quantile_takes_as_many_requests_as_bound_it_from_both_sides(q, least):
    assert enough(least, q)
    assert not enough(least - 1, q)
    low, high = intervals.order_statistics(least, q)
    assert 1 <= low < high <= least
    assert intervals.quantile([histogram([0.05] * (least - 1))], q) is None


def test_the_ranks_for_a_median_of_twenty_lie_just_inside_those_of_the_tables():
    """Which cover 95.9 %."""
    low, high = intervals.order_statistics(20, 0.5)
    assert 6 < low < 6.5
    assert 14.5 < high < 15
    assert low + high == pytest.approx(21)


@given(st.integers(368, 5000), st.sampled_from([0.5, 0.95, 0.99]))
def test_the_ranks_enclose_the_quantile(count, q):
    low, high = intervals.order_statistics(count, q)
    assert 1 <= low <= math.ceil(q * count) <= high <= count


@given(st.lists(st.lists(st.floats(1e-3, 10), min_size=1), min_size=8, max_size=12))
def test_the_interval_holds_the_value(batches):
    found = intervals.quantile([histogram(batch) for batch in batches], 0.5)
    assert found is not None
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.high >= found.value


def test_requests_that_wait_together_widen_the_interval():
    """Every batch has a time of its own, so there are 20 independent values and not 2,000."""
    rng = random.Random(5)
    together = [histogram([rng.lognormvariate(-3, 0.5)] * 100) for _ in range(20)]
    apart = [histogram(rng.lognormvariate(-3, 0.5) for _ in range(100)) for _ in range(20)]
    wide, narrow = (intervals.quantile(batches, 0.5) for batches in (together, apart))
    assert (wide.high - wide.low) / wide.value > 3 * (narrow.high - narrow.low) / narrow.value


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_queues_that_last_for_many_pieces_widen_the_interval(q):
    """Also where few requests lie beyond the quantile, all of them in the longest queue."""
    rng = random.Random(3)
    level, batches = 0.0, []
    for _ in range(120):
        level = 0.9 * level + rng.gauss(0, 0.2)
        batches.append(histogram(rng.lognormvariate(level - 3, 0.3) for _ in range(50)))
    ordered = intervals.quantile(batches, q)
    rng.shuffle(batches)
    shuffled = intervals.quantile(batches, q)
    assert ordered.value == shuffled.value
    assert ordered.high - ordered.low > 1.3 * (shuffled.high - shuffled.low)


def test_failures_count_as_infinitely_slow():
    batches = [histogram([0.05] * 10) for _ in range(10)]
    assert intervals.quantile(batches, 0.95).value == pytest.approx(0.05, rel=1e-3)
    slowed = intervals.quantile(batches, 0.95, failures=[1] * 10)
    assert slowed.value == math.inf
    assert intervals.quantile(batches, 0.5, failures=[1] * 10).value == pytest.approx(
        0.05, rel=1e-3
    )


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(1e-6, 0.2))
@example(1, 0.0, 0.025)
@example(1, 1.0, 0.025)
def test_the_interval_of_a_proportion_is_that_of_clopper_and_pearson(trials, part, tail):
    successes = round(part * trials)
    low, high = intervals.proportion(successes, trials, tail)
    exact = scipy.stats.binomtest(successes, trials).proportion_ci(1 - 2 * tail, "exact")
    assert (low, high) == pytest.approx((exact.low, exact.high), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 5)])
def test_a_proportion_of_nothing_or_of_more_than_all_is_an_error(successes, trials):
    with pytest.raises(ValueError, match=f"{successes} successes in {trials} trials"):
        intervals.proportion(successes, trials, 0.025)


def test_a_ratio_of_few_batches_has_no_interval():
    found = intervals.ratio([1, 2, 3], [1, 1, 1])
    assert (found.value, found.low, found.high) == (2.0, None, None)


def test_about_nineteen_of_twenty_intervals_hold_the_truth():
    """A queue with ten servers: below its knee, at it, and far beyond it."""
    held = Counter()
    for users in (6, 10, 40):
        truth = queue(users, seed=-1, measure=250.0)
        for seed in range(27):
            run = queue(users, seed, measure=5.0)
            for name in ("p50", "p95", "p99", "mean"):
                held[name] += _holds(run.response_time[name], truth.response_time[name].value)
            held["throughput"] += _holds(run.throughput, truth.throughput.value)
    assert min(held.values()) >= 71, held


def queue(users, seed, measure):
    played = stage(0, "queue", users, settle=1.0, measure=measure)
    engine = SimulatedEngine({"queue": threads(10, exponential(0.05))}, seed)
    return points([record(engine, played)])[0]


def _holds(estimate, exact):
    low = -math.inf if estimate.low is None else estimate.low
    high = math.inf if estimate.high is None else estimate.high
    return low <= exact <= high


def bursts(rng, quarters, chance, at_once, each=200):
    """Failures and sizes of quarter seconds, each of which has a burst with a probability."""
    failed = [at_once * (rng.random() < chance) for _ in range(quarters)]
    return failed, [each] * quarters


def test_a_share_of_failures_in_bursts_has_an_interval_that_holds_the_truth():
    rng = random.Random(1)
    seen = [intervals.share(*bursts(rng, 80, 0.15, 40)) for _ in range(200)]
    assert sum(one.low <= 0.15 * 40 / 200 <= one.high for one in seen) >= 190
    alone = intervals.proportion(480, 16_000, 0.025)
    assert seen[0].high - seen[0].low > 4 * (alone[1] - alone[0])


def test_independent_failures_are_worth_nearly_their_number():
    rng = random.Random(2)
    failed = [sum(rng.random() < 0.1 for _ in range(200)) for _ in range(40)]
    assert 4000 < intervals.effective_size(failed, [200] * 40) <= 8000


def test_no_failure_among_few_requests_leaves_room_for_some():
    none = intervals.share([0, 0, 0, 0] * 5, [18] * 20)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 360))
    every = intervals.share([18] * 20, [18] * 20)
    assert (every.value, every.low, every.high) == (1, pytest.approx(0.025 ** (1 / 360)), 1)


def test_a_share_of_no_requests_is_refused():
    with pytest.raises(ValueError, match="no requests"):
        intervals.share([], [])
    assert intervals.effective_size([], []) == 0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=60),
    st.floats(0.0001, 0.2),
)
def test_a_share_lies_within_its_interval_and_is_never_surer_than_independent_requests(pairs, tail):
    failed, sizes = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    if not sum(sizes):
        return
    found = intervals.share(failed, sizes, None, tail)
    low, high = intervals.proportion(sum(failed), sum(sizes), tail)
    assert 0 <= found.low <= low + 1e-9
    assert high - 1e-9 <= found.high <= 1
    assert found.low <= found.value <= found.high


def student(values):
    """Half the width that the textbook gives the mean of a few values."""
    return float(scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values))


@given(st.lists(st.floats(0.8, 1.25), min_size=2, max_size=5), st.integers(0, 1000))
def test_windows_that_differ_widen_a_rate_to_student_s_t_at_least(factors, seed):
    rng = random.Random(seed)
    rates = [[factor * rng.gauss(100, 5) for _ in range(20)] for factor in factors]
    counts = [count for window in rates for count in window]
    found = intervals.ratio(counts, [1.0] * len(counts), [20] * len(factors))
    half = student([math.fsum(window) / 20 for window in rates])
    assert found.high - found.value >= 0.999 * half
    assert found.low <= max(found.value - 0.999 * half, 0.0)


@given(st.lists(st.floats(0.8, 1.25), min_size=2, max_size=5), st.sampled_from([0.5, 0.95]))
def test_windows_that_differ_widen_a_quantile_to_student_s_t_of_logs_at_least(factors, q):
    rng = random.Random(3)
    batches = [
        histogram(factor * rng.uniform(0.1, 0.2) for _ in range(40))
        for factor in factors
        for _ in range(10)
    ]
    found = intervals.quantile(batches, q, None, [10] * len(factors))
    each = [merged(batches[start : start + 10]).quantile(q) for start in range(0, len(batches), 10)]
    logs = [math.log(value) for value in each]
    middle, reach = sum(logs) / len(logs), 0.999 * student(logs)
    assert found.low is None or found.low <= min(math.exp(middle - reach), found.value)
    assert found.high is None or found.high >= max(math.exp(middle + reach), found.value)


def test_a_window_that_mostly_fails_leaves_the_other_s_quantile_without_a_bound():
    batches = [histogram([0.1, 0.11] * 50) for _ in range(20)]
    failures = [0] * 10 + [300] * 10
    found = intervals.quantile(batches, 0.3, failures, [10, 10])
    assert math.isinf(found.high)


def test_a_single_failure_is_no_burst():
    sizes = [5] * 20
    for place in range(20):
        counted = [int(place == number) for number in range(20)]
        assert intervals.effective_size(counted, sizes) == pytest.approx(100)


def test_failures_in_a_single_burst_are_worth_one_event():
    counted = [0] * 10 + [40] + [0] * 9
    assert intervals.effective_size(counted, [50] * 20) >= 1000 / 40
