"""Verdicts of a run by an older one, on made points."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadtests.analysis.verdicts import stored
from loadtests.results import Errors, Estimate, Point, Verdict
from tests.support.simulated_blocks import FAILING
from tests.support.simulated_blocks import point as simulated

EDGE = math.log1p(stored.MARGIN)


def about(value: float, relative: float = 0.01) -> Estimate:
    """Symmetric on the log scale."""
    return Estimate(value=value, low=value * math.exp(-relative), high=value * math.exp(relative))


def point(
    p95: Estimate | None = None,
    *,
    level: int = 40,
    failing: float = 0.0,
    requests: int = 4000,
    throughput: float = 700.0,
    slow: bool = True,
    **more,
) -> Point:
    p95 = p95 or about(0.08)
    times = {"p50": about(0.05), "p95": p95, "p99": about(0.15, 0.05), "mean": about(0.055)}
    return Point(
        deployment="mine",
        request="all",
        level=level,
        requests=requests,
        seconds=5.0,
        throughput=about(throughput, 0.008),
        **{
            "response_time": times,
            "service_time": times,
            "slow_time": times if slow and failing else {},
            "errors": Errors(rate=failing, kinds={"503": 1} if failing else {}),
        }
        | more,
    )


def verdict(a: Point | list[Point], b: Point | list[Point], **more) -> Verdict:
    sides = (one if isinstance(one, list) else [one] for one in (a, b))
    return stored.verdict(("mine", "mine"), *sides, **more)


def kind(*sides, **more) -> str:
    return verdict(*sides, **more).verdict


def unstable(level: int = 800, throughput: float = 700.0) -> Point:
    nothing = dict.fromkeys(("p50", "p95", "p99", "mean"))
    return point(
        level=level,
        throughput=throughput,
        model="open",
        steady="over-saturated",
        response_time=nothing,
        service_time=nothing,
    )


def test_a_change_beyond_the_margin_and_more_than_chance_is_worse_or_better():
    found = verdict(point(about(0.08)), point(about(0.096)))
    assert found.verdict == "WORSE"
    assert (found.method, found.metric, found.level) == ("stored", "p95", 40)
    assert found.ratio.value == pytest.approx(1.2)
    assert found.sentence == (
        "mine against its baseline: WORSE. p95 at 40 users is +20 % (+18.3 to +21.7 %): "
        "96 ms against 80 ms. A change of 6 % would have been seen."
    )
    assert kind(point(about(0.096)), point(about(0.08))) == "BETTER"


def test_a_change_within_the_margin_is_equivalent_however_sure_it_is():
    found = verdict(point(about(0.08, 0.001)), point(about(0.082, 0.001)))
    assert found.verdict == "EQUIVALENT"
    assert "The margin is 5 %." in found.sentence
    assert kind(point(about(0.08, 0.001)), point(about(0.082, 0.001)), margin=0.02) == "WORSE"


def test_an_interval_beyond_the_margin_is_unresolved_and_proposes_a_length():
    found = verdict(point(about(0.08, 0.06)), point(about(0.082, 0.06)))
    assert found.verdict == "UNRESOLVED"
    wanted = (EDGE - math.log(0.082 / 0.08)) / (1.96 + 0.5)  # standard errors, and some luck
    assert found.seconds_needed == pytest.approx(
        5 * ((0.06 * 2**0.5 / 1.96 / wanted) ** 2 - 1), rel=1e-3
    )
    assert found.sentence.endswith(
        "That is neither within 5 % nor surely a change. About 2 minutes more at 40 users in both "
        "would decide it. A change of 19.4 % would have been seen."
    )
    near = math.exp(EDGE) * 0.08
    never = verdict(point(about(0.08, 0.06)), point(about(near, 0.06)))
    assert never.seconds_needed is None
    assert "An hour more in both would not decide it." in never.sentence


def test_a_change_that_only_an_interval_of_95_percent_leaves_is_unresolved():
    """Runs differ by more than their own noise, so 95 % is not enough."""
    half = math.log(1.1) / 1.1  # one is left out at 95 %, not at 99 %
    found = verdict(point(about(0.08, half / math.sqrt(2))), point(about(0.088, half / 2**0.5)))
    assert found.ratio.low > 1
    assert found.verdict == "UNRESOLVED"


def test_a_sure_change_that_is_neither_within_the_margin_nor_beyond_it_is_unresolved():
    found = verdict(point(about(0.08, 0.01)), point(about(0.0836, 0.01)))
    assert found.ratio.low > 1
    assert found.verdict == "UNRESOLVED"


def test_p95_without_an_interval_is_unresolved_and_nothing_could_have_been_seen():
    found = verdict(point(), point(Estimate(value=0.2, low=0.1)))
    assert found.verdict == "UNRESOLVED"
    assert found.minimum_detectable_change is None
    assert "It has no interval: measure for longer." in found.sentence


def test_too_few_requests_for_a_p95_are_unresolved_never_equivalent():
    few = point(requests=60, response_time={"p50": about(0.05), "p95": None})
    found = verdict(point(), few)
    assert found.verdict == "UNRESOLVED"
    assert "60 requests at 40 users in the new run are too few for p95." in found.sentence


def test_an_invalid_point_gives_an_invalid_verdict_with_its_reason():
    found = verdict(point(), point(valid=False, problems=["the generator was the bottleneck"]))
    assert found.verdict == "INVALID"
    assert found.ratio is None
    assert "At 40 users the new run is not valid: the generator was the bottleneck." in (
        found.sentence
    )


def test_a_side_without_measurements_is_invalid():
    assert "Nothing was measured in the new run." in verdict(point(), []).sentence
    assert "Nothing was measured in the baseline." in verdict([], point()).sentence
    assert kind(point(), []) == kind([], point()) == kind([], []) == "INVALID"


def test_no_level_in_common_is_invalid():
    found = verdict(point(level=10), point(level=20))
    assert (found.verdict, found.level) == ("INVALID", None)


def test_a_level_that_is_asked_for_decides():
    slow = [point(level=10), point(about(0.2), level=40)]
    fast = [point(level=10), point(level=40)]
    assert kind(fast, slow, level=10) == "EQUIVALENT"
    assert kind(fast, slow) == kind(fast, slow, level=40) == "WORSE"
    found = verdict(fast, slow, level=20)
    assert found.verdict == "INVALID"
    assert "20 users were not measured in the baseline." in found.sentence


def test_the_highest_level_valid_in_both_decides_and_skipped_ones_are_named():
    busy = point(level=80, valid=False, problems=["busy"])
    found = verdict([point(level=40), point(level=80)], [point(level=40), busy])
    assert (found.verdict, found.level) == ("EQUIVALENT", 40)
    assert found.problems == ["80 users could not decide: not valid in the new run"]


def test_a_level_at_which_p95_is_not_known_in_both_is_passed_over():
    few = point(level=80, response_time={"p95": None})
    found = verdict([point(), few], [point(), point(level=80)])
    assert found.level == 40
    assert found.problems == ["80 users could not decide: p95 is not known"]


def test_a_rate_that_only_one_of_the_two_keeps_up_with_decides():
    """The level of the regression must not be passed over."""
    steady = [point(level=400, model="open"), point(level=800, model="open", throughput=799.0)]
    broken = [point(level=400, model="open"), unstable(800, 700.0)]
    found = verdict(steady, broken)
    assert (found.verdict, found.level) == ("WORSE", 800)
    assert "p95 at 800/s has no end: more came than was answered in the new run." in (
        found.sentence
    )
    assert kind(broken, steady) == "BETTER"


def test_a_queue_that_grows_while_as_much_is_answered_as_before_is_unresolved():
    steady = point(level=800, model="open", throughput=799.0)
    assert kind(steady, unstable(800, 797.0)) == "UNRESOLVED"


def test_a_rate_above_both_capacities_is_skipped_or_invalid():
    low = point(level=400, model="open")
    assert verdict([low, unstable()], [low, unstable()]).level == 400
    assert kind(unstable(), unstable()) == "INVALID"


def test_failures_that_rose_are_worse_however_fast_they_are():
    found = verdict(point(), point(about(0.01), failing=0.03))
    assert found.verdict == "WORSE"
    assert "3 % of the requests at 40 users fail, 0 % in the baseline." in found.sentence
    assert kind(point(), point(failing=1.0)) == "WORSE"


def test_failures_that_became_fewer_are_better_unless_answers_became_slower():
    assert kind(point(failing=0.03), point()) == "BETTER"
    assert kind(point(failing=0.03), point(about(0.2))) == "WORSE"


@pytest.mark.parametrize(
    ("failing", "requests"),
    [(0.009, 100_000), (0.02, 100)],
    ids=["less than a percentage point", "chance"],
)
def test_a_few_more_failures_decide_nothing(failing, requests):
    assert kind(point(requests=requests), point(failing=failing, requests=requests)) == (
        "EQUIVALENT"
    )


def test_p95_counts_a_failure_as_infinitely_slow():
    slow = {"p50": about(0.05), "p95": about(0.12), "p99": None}
    failing = point(failing=0.009, response_time_with_failures=slow)
    assert kind(point(), failing) == "WORSE"
    assert failing.response_time["p95"].value == pytest.approx(0.08)


def test_more_failures_than_p95_leaves_out_give_no_ratio():
    found = verdict(point(failing=0.08), point(failing=0.081))
    assert found.verdict == "INVALID"
    assert "8 % of the requests fail in the baseline and 8.1 %" in found.sentence
    one = verdict(point(failing=0.049), point(failing=0.051))
    assert one.verdict == "UNRESOLVED"
    assert one.ratio is None


def test_times_of_successes_only_in_an_older_run_are_reported():
    found = verdict(point(), point(failing=0.005, slow=False))
    assert found.problems[0] == (
        "the new run has no times with failures: its times are those of successes only"
    )


def test_unsteady_numbers_are_reported():
    found = verdict(point(steady="drifting"), point(steady="unsteady"))
    assert found.problems == [
        "the baseline is drifting at 40 users",
        "the new run is not steady at 40 users",
    ]


def test_other_metrics_and_levels_are_adjusted_for_their_number():
    a = [point(level=level) for level in (10, 20, 40)]
    b = [point(level=10), point(about(0.1), level=20), point(throughput=600.0)]
    found = verdict(a, b)
    assert found.verdict == "EQUIVALENT"
    changed = {(one.metric, one.level) for one in found.changes if one.changed}
    assert changed == {("p95", 20), ("throughput", 40)}
    assert ("p95", 40) not in {(one.metric, one.level) for one in found.changes}
    alone = verdict(a[1], b[1]).ratio
    [adjusted] = [one for one in found.changes if (one.metric, one.level) == ("p95", 20)]
    assert adjusted.change.low < alone.low
    assert adjusted.change.high > alone.high


def test_a_change_that_decides_alone_does_not_decide_among_many():
    half = math.log(1.1) / 1.5 / math.sqrt(2)  # one is left out at 99 %, not at 99.96 %
    a, b = point(about(0.08, half), level=20), point(about(0.088, half), level=20)
    assert kind(a, b) == "WORSE"
    levels = (1, 5, 10, 40, 80)
    found = verdict([a, *(point(level=n) for n in levels)], [b, *(point(level=n) for n in levels)])
    assert not any(one.changed for one in found.changes)


def test_failures_at_other_levels_are_reported_as_a_difference():
    found = verdict([point(level=10), point()], [point(level=10, failing=0.2), point()])
    [errors] = [one for one in found.changes if (one.metric, one.level) == ("errors", 10)]
    assert errors.changed
    assert errors.change.value == pytest.approx(0.2)
    assert 0 < errors.change.low < 0.2 < errors.change.high
    assert found.verdict == "EQUIVALENT"


def test_a_reason_from_outside_makes_a_verdict_invalid():
    found = stored.invalid(verdict(point(), point(about(0.2))), "The run was interrupted.")
    assert found.verdict == "INVALID"
    assert found.sentence == "mine against its baseline: INVALID. The run was interrupted."
    assert (found.ratio, found.minimum_detectable_change, found.changes) == (None, None, [])


def test_other_names_are_reported():
    found = stored.verdict(("old", "new"), [point()], [point()])
    assert found.sentence.startswith("new against old: EQUIVALENT. ")


def failing(share: float, effective: float, requests: int = 4000) -> Point:
    return point(
        requests=requests,
        failing=share,
        errors=Errors(rate=share, effective=effective, kinds={"503": 1} if share else {}),
    )


def test_failures_in_bursts_count_for_few_requests_on_both_sides():
    """Requests that are worth eighty, and a side on which none failed: that is chance."""
    assert kind(point(), failing(0.037, 4000)) == "WORSE"
    assert kind(failing(0.037, 4000), point()) == "BETTER"
    assert kind(failing(0.0, 4000), failing(0.037, 80)) == "EQUIVALENT"
    assert kind(failing(0.037, 80), failing(0.0, 4000)) == "EQUIVALENT"


def test_runs_of_the_same_service_are_seldom_called_different():
    """The thousands are in tests/benchmarks/false_alarms.py."""
    found = [
        (name, seed, kind(*(simulated(2 * seed + side, share, bursts) for side in (0, 1))))
        for name, (share, bursts) in FAILING.items()
        for seed in range(10)
    ]
    different = [one for one in found if one[-1] in ("BETTER", "WORSE")]
    # 1 % of them may: three of fifty are one in seventy.
    assert len(different) <= 2, different


@pytest.mark.parametrize(
    ("usual", "other", "told"),
    [
        (
            {"statuses": {"200": 4000}},
            {"statuses": {"204": 4000}},
            "answers differ: 200 in the baseline, 204 in the new run",
        ),
        (
            {"size": Estimate(value=1200, low=1200, high=1200)},
            {"size": Estimate(value=2, low=2, high=2)},
            "sizes differ: 1,200 bytes in the baseline, 2 bytes in the new run",
        ),
        (
            {"calls": 1.0},
            {"calls": 0.0},
            "calls of the upstream for each request differ: 1 in the baseline, 0 in the new run",
        ),
    ],
)
def test_a_faster_run_that_does_other_work_is_not_better(usual, other, told):
    found = verdict(point(**usual), point(about(0.04), **other))
    assert found.verdict == "INVALID"
    assert told in found.sentence
    assert told in found.problems
    assert kind(point(**usual), point(about(0.04), **usual)) == "BETTER"
    assert kind(point(**usual), point(about(0.2), **other)) == "WORSE"
    assert kind(point(), point(about(0.04), **other)) == "BETTER", "an older run does not tell"


def test_a_few_other_answers_do_not_count_as_other_work():
    usual = point(statuses={"200": 4000}, calls=1.0, size=about(1200.0))
    near = point(about(0.04), statuses={"200": 3990, "206": 10}, calls=1.005, size=about(1204.0))
    assert kind(usual, near) == "BETTER"


positive = st.floats(1e-3, 1e2)
shares = st.sampled_from([0.0, 0.002, 0.03, 0.04, 0.06, 0.3, 1.0])
counts = st.sampled_from([10, 100, 2000, 50_000])


@st.composite
def points(draw) -> Point:
    ends = sorted(draw(st.tuples(positive, positive, positive)))
    low, value, high = ends if draw(st.booleans()) else (ends[1] * 0.99, ends[1], ends[1] * 1.01)
    times = draw(st.sampled_from([Estimate(value=value, low=low, high=high), None]))
    growing = draw(st.booleans())
    return point(
        failing=draw(shares),
        requests=draw(counts),
        throughput=draw(st.sampled_from([100.0, 700.0])),
        steady="over-saturated" if growing else "steady",
        response_time={"p95": None if growing else times},
        response_time_with_failures={},
        model="open",
    )


@given(points())
def test_a_run_against_itself_is_never_better_or_worse(one):
    found = verdict(one, one)
    assert found.verdict not in ("BETTER", "WORSE")
    assert not any(change.changed for change in found.changes)


OTHER = {"BETTER": "WORSE", "WORSE": "BETTER"}


@given(points(), points())
def test_swapping_the_runs_swaps_better_and_worse(a, b):
    there, back = verdict(a, b), verdict(b, a)
    if there.ratio is not None:
        effect = abs(math.log(there.ratio.value))
        assume(abs(effect - EDGE) > 1e-9)  # where the last digit decides
    if there.verdict == back.verdict == "WORSE":
        # Fewer failures with slower answers: something became worse, whichever comes first.
        assert a.errors.rate != b.errors.rate
    else:
        assert back.verdict == OTHER.get(there.verdict, there.verdict)


@given(positive, positive, st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
def test_equivalent_is_never_said_of_an_interval_that_leaves_the_margin(a, b, wide, wider):
    found = verdict(point(about(a, wide)), point(about(b, wider)))
    if found.verdict == "EQUIVALENT":
        assert found.ratio.low >= 1 / (1 + stored.MARGIN) - 1e-9
        assert found.ratio.high <= 1 + stored.MARGIN + 1e-9
    if found.verdict in OTHER:
        assert abs(math.log(found.ratio.value)) > EDGE
        assert not found.ratio.low <= 1 <= found.ratio.high
    assert found.minimum_detectable_change > stored.MARGIN
