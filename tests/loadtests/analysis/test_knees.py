"""Knees on queues whose knee is known from their settings."""

import pytest

from loadtests.analysis.knees import knee, knees
from loadtests.analysis.points import points
from loadtests.results import Errors, Estimate, Limit, Point
from tests.support.simulated_engine import (
    SimulatedEngine,
    Station,
    System,
    constant,
    exponential,
    ladder,
    threads,
    uniform,
)
from tests.support.simulated_knees import drawn, held

LEVELS = (1, 5, 10, 20, 40, 80, 160)


def found(system, levels=LEVELS, seed=0, **options):
    records = ladder(SimulatedEngine({"a": system}, seed), "a", levels, **options)
    return knee(points(records))


def point(level, throughput, *, mean=0.05, rate=0.0, seconds=5.0, noise=0.01):
    def about(value):
        return Estimate(value=value, low=value * (1 - noise), high=value * (1 + noise))

    times = {"p50": about(mean), "p95": about(2 * mean), "p99": None, "mean": about(mean)}
    return Point(
        deployment="a",
        request="all",
        level=level,
        requests=round(throughput * seconds / (1 - rate)),
        seconds=seconds,
        throughput=about(throughput),
        response_time=times,
        service_time=times,
        errors=Errors(rate=rate),
    )


def came(arrivals, throughput, **options):
    """A point of the open model: as many came as were asked for."""
    seen = point(arrivals, throughput, **options)
    return seen.model_copy(update={"model": "open", "requests": round(arrivals * seen.seconds)})


def rising(*levels):
    return [point(level, 20.0 * level) for level in levels]


@pytest.mark.parametrize("seed", range(5))
def test_forty_threads_of_fifty_milliseconds_have_their_knee_at_forty(seed):
    bend = found(threads(40, uniform(0.03, 0.07)), seed=seed)
    assert bend.level == pytest.approx(40, rel=0.03)
    assert bend.low < bend.level < bend.high
    assert bend.throughput == pytest.approx(800, rel=0.03)
    assert bend.base_response_time == pytest.approx(0.05, rel=0.03)
    assert bend.beyond == "flat"
    # Beyond it each further user adds one 800th of a second to everybody's wait.
    assert bend.slope == pytest.approx(1 / 800, rel=0.1)


def test_think_time_moves_the_knee_out():
    bend = found(threads(10, uniform(0.03, 0.07)), think_time=0.1)
    assert bend.level == pytest.approx(10 * (0.05 + 0.1) / 0.05, rel=0.05)


def test_most_intervals_hold_the_knee():
    bends = [found(threads(20, exponential(0.05)), (1, 5, 10, 40, 80), seed) for seed in range(12)]
    # 5 % may not: four of twelve are one in five hundred.
    assert sum(bend.low <= 20 <= bend.high for bend in bends) >= 9


def test_a_service_that_does_one_thing_at_a_time_has_its_knee_at_one_user():
    bend = found(threads(1, constant(0.05)), (1, 2, 5, 10))
    assert bend.level == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_service_without_a_limit_has_no_knee(seed):
    bend = found(System([Station(exponential(0.05))]), seed=seed)
    assert (bend.level, bend.beyond, bend.slope) == (None, None, None)
    assert bend.base_response_time == pytest.approx(0.05, rel=0.05)


def test_levels_that_end_at_the_knee_have_not_seen_it():
    assert found(threads(40, uniform(0.03, 0.07)), (1, 5, 10, 20, 40)).level is None


def test_fewer_than_three_valid_levels_give_no_knee():
    seen = [point(1, 20), point(10, 100), point(20, 100)]
    assert knee(seen).level is not None
    invalid = seen[1].model_copy(update={"valid": False})
    assert knee([seen[0], invalid, seen[2]]).level is None
    assert knee([]).level is None


@pytest.mark.parametrize("falling", [0.0, 1.2])
def test_two_levels_give_a_knee_between_them_where_the_second_collapses(falling):
    bend = knee([point(1, 16, mean=0.06), point(4, falling, rate=0.7, noise=0.2)])
    assert 1 <= bend.low <= bend.level <= bend.high <= 4
    assert bend.beyond in ("falls", "errors")
    assert bend.in_flight is None, "as many as users"
    higher = knee([point(4, 62, mean=0.06), point(8, falling, rate=0.7, noise=0.2)])
    assert (higher.level, higher.low) == (None, None)
    assert 4 <= higher.high <= 8


@pytest.mark.parametrize(
    ("levels", "blocks"), [((16, 32, 64), 0.1), ((20, 40, 80), 0.1), ((16, 32, 64), 0.2)]
)
def test_a_ladder_that_begins_beyond_the_knee_of_a_blocked_loop_says_no_more(levels, blocks):
    """Windows of three cycles: chance makes the lowest level look better, or worse, than others."""
    work = uniform(0.8 * blocks, 1.2 * blocks)
    loop = System([Station(uniform(0.045, 0.055)), Station(work, 1)])
    measure = 3 * levels[0] * blocks
    bends = [found(loop, levels, seed, measure=measure) for seed in range(20)]
    assert sum(bend.level is None and bend.low is None for bend in bends) >= 19
    assert all(bend.high is None or bend.high >= 1.5 for bend in bends)


def test_the_plateau_is_the_mean_of_what_cannot_be_told_apart_rather_than_the_luckiest_level():
    seen = [*rising(1, 5), point(20, 198), point(40, 202), point(80, 200)]
    assert knee(seen).throughput == pytest.approx(200, rel=1e-3)


def test_throughput_that_falls_by_more_than_its_noise_is_said_to_fall():
    assert knee([*rising(1, 5, 10), point(40, 200), point(80, 120)]).beyond == "falls"
    noisy = [*rising(1, 5, 10), point(40, 200, noise=0.1), point(80, 180, noise=0.1)]
    assert knee(noisy).beyond is None


def test_windows_without_an_interval_fall_where_their_counts_say_so():
    def short(level, throughput):
        seen = point(level, throughput, seconds=1.5)
        return seen.model_copy(update={"throughput": Estimate(value=throughput)})

    seen = [short(1, 15), short(2, 28), short(4, 55), short(8, 73)]
    assert knee([*seen, short(16, 49)]).beyond is None
    assert knee([*seen, short(16, 20)]).beyond == "falls"


def test_failures_beyond_the_knee_are_its_end_unless_answers_become_fewer_as_well():
    quick = [*rising(1, 5, 10), point(40, 200), point(80, 150, rate=0.6)]
    assert knee(quick).beyond == "errors"
    slow = [*rising(1, 5, 10), point(40, 200), point(80, 50, rate=0.6)]
    assert knee(slow).beyond == "falls"


def test_a_highest_level_of_which_little_is_known_hides_no_knee_below_it():
    levels = [point(n, min(20.0 * n, 200.0)) for n in (1, 5, 10, 20, 40)]
    assert 9 < knee([*levels, point(80, 40.0, seconds=0.5, noise=6.0)]).level < 11


def test_one_level_beyond_the_knee_gives_a_slope_from_the_knee_on():
    seen = [*rising(1, 5, 10), point(80, 200, mean=0.4)]
    bend = knee(seen)
    assert bend.level == pytest.approx(10)
    assert bend.slope == pytest.approx((0.8 - 0.1) / 70)


def test_a_knee_that_was_not_seen_lies_beyond_what_followed():
    bend = knee(rising(1, 5, 10))
    assert (bend.level, bend.high) == (None, None)
    assert 9.5 < bend.low <= 10
    few = knee(rising(1, 5))
    assert (few.level, few.low, few.high) == (None, None, None)


def test_the_loss_at_the_highest_level_has_an_interval():
    bend = knee([*rising(1, 5, 10), point(40, 200), point(80, 120)])
    assert bend.retrograde.value == pytest.approx(0.4)
    assert 0.36 < bend.retrograde.low < 0.4 < bend.retrograde.high < 0.44
    assert knee([*rising(1, 5, 10), point(40, 200), point(80, 199)]).retrograde is None


def test_the_knee_of_a_rate_is_where_answers_stop_following_it():
    seen = [came(50, 50), came(100, 100), came(200, 180), came(400, 182)]
    bend = knee(seen)
    assert bend.level == pytest.approx(181, rel=0.01)
    assert bend.low < 180 < bend.high
    assert (bend.beyond, bend.retrograde) == ("flat", None)
    assert knee([*seen[:3], came(400, 90)]).retrograde.value == pytest.approx(0.5, abs=0.02)
    assert knee(seen[:2]).level is None
    assert knee([*seen[:2], came(150, 150)]).level is None


def test_failures_below_the_knee_of_a_rate_are_not_its_limit():
    seen = [came(50, 45, rate=0.1), came(100, 90, rate=0.1), came(400, 180, rate=0.1)]
    assert knee(seen).level == pytest.approx(200, rel=0.01)


def test_levels_that_did_not_come_to_rest_are_used_only_where_there_are_no_others():
    odd = point(40, 260).model_copy(update={"steady": "drifting"})
    assert knee([*rising(1, 5), odd, point(80, 200)]).throughput == pytest.approx(200)
    grows = point(40, 200).model_copy(update={"steady": "over-saturated"})
    assert knee([*rising(1, 5), grows]).level == pytest.approx(10, rel=0.02)


def test_a_knee_has_the_limit_of_most_valid_levels_beyond_it():
    def limited(level, resource, valid=True):
        seen = point(level, 400.0, mean=level / 400)
        limit = Limit(resource=resource, why="-")
        return seen.model_copy(update={"limit": limit, "valid": valid})

    beyond = [
        limited(30, "cpu"),
        limited(40, "generator", False),
        limited(60, "threads"),
        limited(80, "threads"),
    ]
    (bend,) = knees([*rising(1, 5, 10), *beyond]).values()
    assert bend.level == pytest.approx(20, rel=0.02)
    assert bend.limit == "threads"
    (without,) = knees(rising(1, 5, 10, 20)).values()
    assert without.limit is None


@pytest.mark.parametrize("number", range(20))
def test_statements_about_a_simulated_knee_are_true(number):
    _, truth, _, seen = drawn(number, seed=2)
    assert held(truth, knee(seen))


@pytest.mark.parametrize("levels", [(300, 400), (300, 600), (300, 400, 800)])
def test_a_rate_from_which_on_requests_fail_lies_beyond_the_knee(levels):
    """A fifth of them, however many come: more succeed at higher rates than at any before."""
    seen = [came(100, 100), came(200, 200)]
    seen += [
        came(level, 0.8 * level).model_copy(update={"errors": Errors(rate=0.2)}) for level in levels
    ]
    bend = knee(seen)
    assert 200 <= bend.level <= 300
    assert 0.95 * 200 <= bend.low <= bend.level <= bend.high <= 300
    assert bend.beyond == "errors"
    assert bend.throughput is None or bend.throughput <= 300


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_rate_lies_between_the_last_that_is_followed_and_the_first_that_is_not(
    seed,
):
    bend = found(
        System([Station(exponential(0.02), 7)]), (100, 200, 300, 500, 700), seed, model="open"
    )
    assert 0.95 * 300 <= bend.low <= 350 <= bend.high <= 500


@pytest.mark.parametrize(("noise", "then"), [(0.02, "flat"), (0.05, "flat"), (0.15, None)])
def test_throughput_is_called_flat_only_where_a_loss_that_matters_is_excluded(noise, then):
    seen = [*rising(1, 5, 10), point(40, 200, noise=noise), point(80, 197, noise=noise)]
    assert knee(seen).beyond == then


def test_throughput_without_an_interval_is_as_sure_as_its_requests():
    few = point(80, 190).model_copy(update={"throughput": Estimate(value=190), "seconds": 0.5})
    many = few.model_copy(update={"seconds": 60.0})
    plateau = [*rising(1, 5, 10), point(40, 200, noise=0.02)]
    assert knee([*plateau, few]).beyond is None
    assert knee([*plateau, many]).beyond == "flat"


def refusing(level, good, share, *, noise):
    """A level at which most requests are refused, with a throughput that is hardly known."""
    return point(level, good, rate=share, noise=noise)


def test_a_level_at_which_most_requests_fail_is_beyond_the_knee_however_unsure_its_throughput():
    seen = [*rising(1, 2), refusing(4, 50.0, 0.95, noise=0.6)]
    bend = knee(seen)
    assert bend.beyond == "errors"
    assert bend.level == pytest.approx(2.5, rel=0.05)
    assert bend.low >= 1.5
    assert bend.high == 4


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3])
def test_a_service_that_fails_as_often_at_every_level_has_no_knee(share):
    seen = [point(level, 20.0 * level, rate=share) for level in (1, 2, 4, 8, 16)]
    assert knee(seen).level is None
    assert knee(seen).high is None


def test_a_failure_or_two_at_a_level_of_few_requests_make_no_knee():
    seen = [*rising(1, 2, 4), point(8, 150.0, rate=0.04, seconds=0.2), *rising(16)]
    assert knee(seen).high is None
