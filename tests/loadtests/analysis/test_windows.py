"""Windows: throughput where answers come in waves, and users that hang."""

import math
import random
import statistics

import pytest

from loadtests.analysis.inputs.user_time import UserTime
from loadtests.analysis.inputs.windows import window
from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import block
from tests.support.simulated_engine import recorded, stage


def users(count, length, cycle, *, spread=1.0, pause=0.0, seed=0):
    """
    Requests of users that send the next one when the last is answered.

    Args:
        cycle: (user, its draws) -> (seconds to the answer, whether it is a failure).
        spread: seconds in which all of them begin.
    """
    for user in range(count):
        draw = random.Random(f"{seed} {user}")
        now = draw.uniform(0, spread)
        while now < length:
            seconds, failed = cycle(user, draw)
            yield now, now + seconds, failed
            now += seconds + pause


def taking(seconds, varying=0.05):
    return lambda user, draw: (max(draw.gauss(seconds, varying * seconds), 0.001), False)


def hanging(some, seconds=10.0):
    """The first `some` users get no answer, and fail after this many seconds."""
    return lambda user, draw: (seconds, True) if user < some else (0.05, False)


def level_of(requests, count, **options):
    played = stage(0, "a", count, **options)
    return next(p for p in points([recorded(played, requests)]) if p.request == "all")


@pytest.mark.parametrize("answer", [0.05, 0.3, 0.49, 0.5, 0.68, 0.8, 1.2, 2.0, 4.0])
@pytest.mark.parametrize(("settle", "measure"), [(0.25, 1.25), (2.0, 5.0)])
def test_throughput_is_that_of_the_answers_however_they_come_in_waves(answer, settle, measure):
    """Whole waves of all 40 users fit into such windows: counting is off by up to a third."""
    played = stage(0, "a", 40, settle=settle, measure=measure)
    found = []
    for seed in range(20):
        requests = users(40, settle + measure, taking(answer), spread=settle / 2, seed=seed)
        found.append(block(recorded(played, requests), []).values["throughput"])
    assert statistics.mean(found) == pytest.approx(40 / answer, rel=0.01)


@pytest.mark.parametrize("pause", [0.5, 1.0, 3.0])
def test_the_pauses_of_users_are_in_their_throughput(pause):
    requests = users(40, 7.0, taking(0.05), pause=pause, spread=pause + 0.05)
    found = level_of(requests, 40, think_time=pause)
    assert found.throughput.value == pytest.approx(40 / (pause + 0.05), rel=0.01)
    assert found.throughput.low < 40 / (pause + 0.05) < found.throughput.high


def test_a_window_in_which_everybody_pauses_is_measured_by_what_came_before_it():
    requests = users(100, 7.0, taking(0.05), pause=10.0)
    found = level_of(requests, 100, think_time=10.0)
    assert (found.valid, found.requests) == (True, 100)
    assert found.throughput.value == pytest.approx(100 / 10.05, rel=0.01)
    assert found.response_time["p95"].value == pytest.approx(0.054, rel=0.05)


def test_the_pause_is_taken_as_it_was_measured():
    """Which is longer than it was meant to be where the client itself is slow."""
    record = recorded(stage(0, "a", 40), users(40, 7.0, taking(0.01), pause=0.002))
    for part in record.slices:
        part.followed, part.idle = part.started, 0.002 * part.started
    quarters = window(record).quarters
    found = UserTime(record.stage, quarters).throughput(quarters)
    assert found.value == pytest.approx(40 / 0.012, rel=0.005)


@pytest.mark.parametrize("altered", [{"model": "open"}, {"own_tasks": True}])
def test_throughput_of_users_with_random_pauses_counts_successes(altered):
    record = recorded(stage(0, "a", 40), users(40, 7.0, taking(0.5)))
    whole = window(record)
    record.stage = record.stage.model_copy(update=altered)
    found = UserTime(record.stage, whole.quarters).throughput(whole.quarters)
    assert found.value == sum(quarter.succeeded for quarter in whole.quarters) / 5


def test_a_window_in_which_nothing_varies_is_known_to_one_request():
    rate = level_of(users(10, 7.0, taking(0.05, varying=0)), 10).throughput
    assert rate.high - rate.value == pytest.approx(1 / 5, rel=0.01)
    assert rate.value - rate.low == pytest.approx(1 / 5, rel=0.01)


@pytest.mark.parametrize("seconds", [10.0, 60.0])
def test_a_service_that_hangs_is_measured_as_one_that_fails_everything(seconds):
    found = level_of(users(80, 7.0, hanging(80, seconds)), 80)
    assert (found.valid, found.requests, found.errors.rate) == (True, 80, 1.0)
    assert found.throughput.value == 0
    assert set(found.response_time.values()) == {None}
    assert "80 of 80 users waited for one answer" in " ".join(found.problems)
    assert found.in_flight == pytest.approx(80, rel=0.01)


def test_a_block_in_which_the_service_hangs_has_its_failures():
    played = stage(0, "a", 40, settle=0.25, measure=1.25)
    found = block(recorded(played, users(40, 1.5, hanging(40), spread=0.125)), [])
    assert found.wrong == []
    assert (found.values["errors"], found.values["throughput"]) == (1.0, 0.0)
    assert found.values["p50"] == math.inf


@pytest.mark.parametrize("some", [8, 40, 72])
def test_users_that_hang_count_among_those_that_do_not(some):
    found = level_of(users(80, 7.0, hanging(some)), 80)
    assert found.valid
    assert round(found.errors.rate * found.requests) == some
    assert found.throughput.value == pytest.approx((80 - some) * 20, rel=0.01)
    assert found.steady == "unsteady"
    assert f"{some} of 80 users waited for one answer" in found.problems[0]


def test_long_answers_weigh_no_more_than_others():
    """A fifth of all users wait for a timeout at any time, of one request in 500."""

    def cycle(user, draw):
        return (10.0, True) if draw.random() < 0.002 else (0.05, False)

    failed = requests = noted = 0
    for seed in range(40):
        found = level_of(users(80, 7.0, cycle, seed=seed), 80)
        failed += found.errors.rate * found.requests
        requests += found.requests
        noted += any("waited" in text for text in found.problems) + found.errors.unanswered
    assert noted == 0
    assert failed / requests == pytest.approx(0.002, rel=3 * (requests * 0.002) ** -0.5)


def stuck_from(moment, some, count=80, timeout=10.0):
    """Requests of `count` users, the first `some` of whom get no answer from that moment on."""
    for user in range(count):
        draw = random.Random(user)
        now = draw.uniform(0, 1)
        while now < 7.0:
            hangs = user < some and now >= moment
            end = now + (timeout if hangs else draw.uniform(0.03, 0.07))
            yield now, end, hangs
            now = end


@pytest.mark.parametrize("moment", [0.0, 1.9, 2.5, 4.5, 6.0])
def test_users_that_hang_from_any_moment_on_are_counted(moment):
    found = level_of(stuck_from(moment, 29), 80)
    assert found.errors.unanswered == 29
    assert found.errors.rate < 0.01, "each of them has one failure only"
    assert found.steady == "unsteady"
    assert "29 of 80 users waited" in found.problems[0]


def test_a_burst_of_ordinary_failures_at_the_end_of_a_window_leaves_nobody_waiting():
    failing = ((start, end, start >= 6.9) for start, end, _ in users(40, 7.0, taking(0.2)))
    found = level_of(failing, 40)
    assert found.errors.rate > 0
    assert found.errors.unanswered == 0
