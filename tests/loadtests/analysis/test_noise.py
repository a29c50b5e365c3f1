"""What disturbances can have done to a number is a part of its interval, and no verdict."""

import heapq
import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from loadtests.analysis import knees
from loadtests.analysis.causes import ceilings, limits
from loadtests.analysis.checks.disturbances import Disturbances, Look, TakenTime
from loadtests.analysis.checks.noise import USEFUL, Noise, Source
from loadtests.analysis.checks.noise_sources import _pauses, noise
from loadtests.analysis.points import points
from loadtests.analysis.summary import sentence
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import GeneratorDone, Lateness
from loadtests.results import Estimate, Knee, Limit, Run
from tests.support.disturbed import paused, samples, seconds_taken
from tests.support.observed import full, level, point
from tests.support.recorded import Request, analysed, lognormal, recorded, stage, users

STEAL = 0.068


def held(played, rng, threads=10, answer=0.1, held=0.4):
    """Requests of users whose threads go on with other work when the answer is out."""
    free = [0.0] * threads
    ready = sorted(rng.uniform(0, answer) for _ in range(played.level))
    found = []
    while (start := heapq.heappop(ready)) < played.settle + played.measure:
        begin = max(start, free[0])
        heapq.heapreplace(free, begin + held)
        end = begin + answer * rng.uniform(0.9, 1.1)
        found.append(Request(start, end))
        heapq.heappush(ready, end)
    return found


def gauges(at, level, rate):
    busy, waiting = min(level * 4.0, 10.0), max(level - 3.0, 0.0)
    return {
        "at": at,
        "threads": {"total": 10, "busy": busy, "waiting": waiting},
        "loop": {"lag": 0.001, "worst": 0.01, "cpu": 0.05 * at},
        "pools": [],
        "in_flight": float(level),
        "cpu": 0.1 * at,
        "counts": {
            "requests": rate * at,
            "calls": 2 * rate * at,
            "call_seconds": 0.4 * rate * at,
            "retried": 0,
        },
    }


def test_a_host_that_took_a_little_leaves_the_knee_and_its_cause_plain():
    """24/s at 4, 8, 16 and 32 users is what threads permit, whatever 6.8 % of a core may do."""
    rng = random.Random(3)
    played = [stage(n, "a", users, measure=6.0) for n, users in enumerate((1, 2, 4, 8, 16, 32))]
    made = [recorded(one, held(one, rng)) for one in played]
    taken = []
    for record in made:
        rate = min(record.stage.level / 0.1, 25.0)
        taken += [
            one | {"gauges": {"a": {"7": gauges(one["at"], record.stage.level, rate)}}}
            for one in samples([record], lambda end: (STEAL, 0.0))
        ]
    run = analysed(made, samples=taken)
    found = run.of("a")
    assert all(one.valid for one in found), [one.problems for one in found]
    assert [round(one.throughput.value) for one in found[2:]] == [25, 25, 25, 25]
    assert all(one.noise["throughput"] > 0 for one in found)
    knee = run.knees["a"]
    assert knee.level == pytest.approx(2.5, rel=0.1)
    assert knee.beyond == "flat"
    assert knee.limit == "threads"


def test_requests_that_are_refused_are_counted_whatever_disturbs():
    """A service that answers 88 % with 429 does so by itself: no host causes that."""
    rng = random.Random(5)
    played = stage(0, "a", 4)
    requests = users(
        played, lognormal(0.02, 0.1), rng, failing=lambda g: 0.002 if g.random() < 0.886 else None
    )
    made = recorded(played, requests, "429")
    for host in (STEAL, 0.6):
        taken = samples([made], lambda end: (host, 0.0))  # noqa: B023
        run = analysed([made], {"few": "errors < 1% at 4"}, samples=taken)
        assert run.of("a")[0].valid == (host == STEAL)
        assert [slo.status for slo in run.slos] == ["missed"]


def ledger(at, answers, overdue, slow):
    return {
        "epoch": "e",
        "elapsed": at,
        "in_flight": {"seconds": 4.0 * at},
        "arrivals": answers,
        "delivered": {"count": answers, "total": 0.27 * answers},
        "overdue": overdue,
        "fidelity": {"not_ok_seconds": slow, "lag": 0.001, "reasons": ["late"] if slow else []},
    }


def test_one_late_answer_of_few_is_no_reason():
    """One of 32 was 5.4 ms late, of answers that take 270 ms."""
    played = stage(0, "a", 2, measure=4.0)
    made = recorded(played, users(played, lognormal(0.25, 0.1), random.Random(1)))
    begin = made.begun.at
    taken = [
        {
            "at": begin + n,
            "mock": ledger(begin + n, 8 * n, {0.001: n > 3, 0.005: n > 3}, int(n > 3)),
        }
        for n in range(9)
    ]
    (found,) = (p for p in points([made], taken) if p.request == "all")
    assert found.valid, found.problems
    assert found.noise["mean"] < 0.001


def test_a_mock_that_is_late_for_most_of_its_answers_is_the_bottleneck():
    played = stage(0, "a", 2, measure=4.0)
    made = recorded(played, users(played, lognormal(0.25, 0.1), random.Random(1)))
    begin = made.begun.at
    late = dict.fromkeys((0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1), 8)
    taken = [
        {"at": begin + n, "mock": ledger(begin + n, 8 * n, {k: v * n for k, v in late.items()}, n)}
        for n in range(9)
    ]
    (found,) = (p for p in points([made], taken) if p.request == "all")
    assert not found.valid
    assert found.problems[0].startswith("the mock upstream was the bottleneck: the mock upstream")
    assert found.limit.resource == "mock"


@pytest.mark.parametrize("second", range(1, 9))
def test_a_missing_answer_is_not_a_late_one(second):
    """An answer that was very late in a second of which the window has a small part."""
    played = stage(0, "a", 2, measure=4.0)
    made = recorded(played, users(played, lognormal(0.25, 0.1), random.Random(1)))
    begin = made.begun.at
    taken = [
        {
            "at": begin + n + 0.8,
            "mock": ledger(begin + n, 8 * n, {0.01: 4 * n, 5.0: int(n >= second)}, n),
        }
        for n in range(-1, 9)
    ]
    (found,) = (p for p in points([made], taken) if p.request == "all")
    assert any("answers more than" in text for text in found.problems)
    assert not any("gave 0 of" in text for text in found.problems)


def test_timers_that_wake_late_count_for_the_time_that_they_were_late():
    played = stage(0, "a", 4)
    made = recorded(played, users(played, lognormal(0.05, 0.1), random.Random(1)))
    (before,) = (p for p in points([made]) if p.request == "all")
    made.dones["g"] = GeneratorDone(
        stage=0,
        generator="g",
        reports=0,
        unfinished=0,
        cpu=0.1,
        lag=0.06,
        lateness=(Lateness(index=10, late=0.06, worst=0.06),),
    )
    (found,) = (p for p in points([made]) if p.request == "all")
    # A thirtieth of the answers of 60 ms of 5 s.
    assert found.valid
    assert found.response_time["mean"].value * 0.02 > 0
    assert found.noise["mean"] < 0.001
    assert found.response_time["p95"].high == before.response_time["p95"].high


def test_late_timers_of_a_generator_that_waits_for_its_core_delay_for_longer():
    """What comes meanwhile must be caught up with, on the part of the core that is left."""
    made = recorded(stage(0, "a", 4), [])
    late = tuple(Lateness(index=n, late=0.04, worst=0.04) for n in range(28))
    done = GeneratorDone(
        stage=0, generator="g", reports=0, unfinished=0, cpu=0.1, lag=0.04, lateness=late
    )
    made.dones["g"] = done
    start, end = made.window

    def delay(others):
        """Seconds, where others take this part of the core."""
        worked, waits = (0.1 + others,), {"generator": others}
        cores = {"generator": frozenset({0})}
        look = Look(start, end, worked, (0.0,), {"generator": 0.1}, waits, cores)
        return noise([Disturbances(made, [look], {}, True)], [], calls=0, cycle=0.1).delay

    assert 0 < delay(0.0) < 0.005
    assert delay(0.8) > 4 * delay(0.0)


def test_a_ceiling_below_a_throughput_of_an_invalid_level_is_left_out():
    """1 core / 2.31 ms is not the ceiling of a service that answered 601/s."""
    seen = [
        level(1, cpu=0.00231, gauges={"cpu": 0.04, "loop_cpu": 0.04}, cpu_read=0.00231),
        level(40, 430, gauges={"cpu": 0.99, "loop_cpu": 0.99}, cpu_read=0.00231),
        level(60, 601, gauges={"cpu": 0.97, "loop_cpu": 0.97}, cpu_read=0.00161),
    ]
    wrong = seen[2].point.model_copy(update={"valid": False})
    seen[2] = replace(seen[2], point=wrong)
    assert all(one.throughput >= 546 for one in ceilings.ceilings(seen, {}, None))
    found = limits(seen, ceilings.ceilings(seen, {}, None))
    assert all("is the ceiling" not in one.why for one in found.values() if "433/s" in one.why)


def disturbed(users, throughput, noise):
    made = point(users, throughput, 0.05)
    half = 0.01 * throughput
    return made.model_copy(
        update={
            "throughput": Estimate(
                value=throughput, low=throughput - half, high=throughput + half + noise
            ),
            "noise": {"throughput": noise} if noise else {},
        }
    )


def test_a_knee_that_rests_on_disturbed_points_has_their_width_and_its_sentence_says_so():
    """The two levels beyond it had a fifth less than there is."""
    levels = (1, 5, 10, 15, 20, 80, 160)
    truth = {n: min(20.0 * n, 720.0) for n in levels}
    quiet = knees.knee([disturbed(n, x, 0.0) for n, x in truth.items()])
    seen = [
        disturbed(n, 0.8 * x if n > 36 else x, 0.2 * x if n > 36 else 0.0) for n, x in truth.items()
    ]
    wide = knees.knee(seen)
    assert quiet.level == pytest.approx(36, rel=0.05)
    assert wide.low <= 36 <= wide.high
    assert wide.high - wide.low > 2 * (quiet.high - quiet.low)
    run = Run(id="r", name="r", started="", points=seen, knees={"a": wide})
    assert re.search(
        r"; 2 of 7 levels were disturbed, by up to 25 % of its throughput, so that it can be "
        r"[\d.]+ to [\d.]+\.",
        sentence(run, "a"),
    )


def test_levels_that_are_equal_do_not_follow_the_load():
    """Whatever the width of their intervals: 4 and 16 users had the same throughput."""
    points = [disturbed(n, x, 3 * x) for n, x in ((1, 6.1), (2, 9.2), (4, 12.7), (16, 12.9))]
    knee = Knee(level=None, low=15.0)
    told = sentence(Run(id="r", name="r", started="", points=points, knees={"a": knee}), "a")
    assert told.startswith("a: follows the load up to 2 users; where it stops is not known: at 4 ")


def test_a_service_without_a_core_for_half_of_the_time_is_held_back_by_cpu():
    gauges = {"lag": 0.4, "loop_cpu": 0.45, "cpu": 0.45}
    taken = {"starved": 0.5, "others": 0.5, "host": 0.02}
    beyond = [level(n, 300, gauges=gauges, **taken) for n in (20, 40)]
    found = limits([level(1), *beyond], [])[40]
    assert found.resource == "cpu"
    assert found.why.startswith(
        "CPU: 0.45 of 1 core used, its host took 2 % and other processes took 50 %: "
        "it had 48 % left"
    )


def test_a_host_that_explains_a_part_of_what_lacks_is_not_the_limit():
    host = Limit(resource="host", why="the machine was busy with something else")

    def seen(throughput, noise):
        top = level(40, throughput)
        noisy = {"valid": False, "noisy": True, "limit": host, "noise": {"throughput": noise}}
        ends = Estimate(value=throughput, low=0.95 * throughput, high=1.05 * throughput + noise)
        point = top.point.model_copy(update={**noisy, "throughput": ends})
        return limits([level(1), level(5), level(10), replace(top, point=point)], [])[40]

    assert seen(150.0, 60.0).resource == "unknown"  # 784/s would follow the load
    assert seen(560.0, 200.0) == host


def test_threads_that_are_all_busy_are_named_though_a_point_is_too_noisy_to_be_valid():
    gauges = {"threads": full(10, 20.0), "call": 0.4, "loop_cpu": 0.1, "cpu": 0.1}
    top = level(40, 24.0, call=0.4, gauges=gauges)
    noisy = top.point.model_copy(update={"valid": False, "noisy": True})
    some = {"threads": full(10, 0.0)}
    seen = [level(n, call=0.4, gauges=some) for n in (1, 4, 8)]
    seen.append(replace(top, point=noisy))
    assert limits(seen, ceilings.ceilings(seen, {}, None))[40].resource == "threads"


def test_the_bound_of_a_quantile_is_never_beyond_what_was_done():
    rng = random.Random(1)
    base = [rng.lognormvariate(-3, 0.4) for _ in range(4000)]
    pause, seconds = 0.2, 20.0
    changed, clean = Histogram(), Histogram()
    for time in base:
        clean.record(time)
        hit = rng.random() < pause / seconds
        changed.record(time + (rng.uniform(0, pause) if hit else 0.0))
    source = Source("host", "it", 1.0, seconds, [(pause, 1.0)])
    for q in (0.5, 0.9, 0.95, 0.99):
        less = Noise([source], 0.01, None).of_quantile(changed, q)
        assert changed.quantile(q) - less <= clean.quantile(q) * 1.02
        assert less <= pause


def stopping(share, rng, seconds):
    """Pauses of 20 to 300 ms in which everything stands still, for this part of the time."""
    now = 0.0
    while now < seconds:
        length = rng.uniform(0.02, 0.3)
        now += rng.expovariate(share / (1 - share) / 0.16)
        yield now, now + length
        now += length


@pytest.mark.parametrize("share", [0.05, 0.15])
def test_intervals_of_disturbed_windows_hold_what_would_have_been_measured(share):
    """Everything stands still for a part of the time; the bound holds for any queue."""
    held_by = Counter()
    for seed in range(12):
        played = stage(0, "a", 8, measure=4.0)
        rng = random.Random(seed)
        pauses = list(stopping(share, rng, 8.0))
        sent = users(played, lognormal(0.08, 0.3), rng, servers=6)
        moved = [Request(paused(a, pauses), paused(b, pauses)) for a, b, _ in sent]
        made = recorded(played, moved)
        taken = samples([made], seconds_taken(pauses, made.begun.at))
        (clean,) = (p for p in points([recorded(played, sent)]) if p.request == "all")
        (found,) = (p for p in points([made], taken) if p.request == "all")
        assert found.valid or found.noisy
        held_by["throughput"] += found.throughput.high >= clean.throughput.value
        held_by["mean"] += found.response_time["mean"].low <= clean.response_time["mean"].value
        p95 = found.response_time["p95"]
        held_by["p95"] += p95.low is None or p95.low <= clean.response_time["p95"].value
    assert min(held_by.values()) >= 11, held_by


def test_a_long_queue_is_delayed_by_every_pause_of_those_before_it():
    """Three servers, 60 users: a request meets many pauses, although it passes the core twice."""
    held_by = Counter()
    lowest = stage(1, "a", 1)
    alone = recorded(lowest, users(lowest, lognormal(0.08, 0.3), random.Random(1)))
    for seed in range(12):
        played = stage(0, "a", 60, measure=8.0)
        rng = random.Random(seed)
        pauses = list(stopping(0.2, rng, 14.0))
        sent = users(played, lognormal(0.08, 0.3), rng, servers=3)
        made = recorded(played, [Request(paused(a, pauses), paused(b, pauses)) for a, b, _ in sent])
        taken = samples([made], seconds_taken(pauses, made.begun.at))
        found, _ = (p for p in points([made, alone], taken) if p.request == "all")
        held_by["throughput"] += found.throughput.high >= 0.95 * 3 / 0.08
        for name in ("mean", "p50"):
            held_by[name] += found.response_time[name].low <= 1.05 * 60 * 0.08 / 3
    assert min(held_by.values()) >= 11, held_by


def test_an_slo_is_decided_where_the_noise_does_not_matter():
    """Times would be even shorter without the disturbances."""
    played = stage(0, "a", 8, measure=4.0)
    made = recorded(played, users(played, lognormal(0.08, 0.3), random.Random(1), servers=6))
    slos = {
        "far": "mean < 200ms at 8",
        "near": "mean < 90ms at 8",
        "rate": "throughput > 40/s at 8",
        "high": "throughput > 100/s at 8",
    }
    run = analysed([made], slos, samples=samples([made], lambda end: (0.5, 0.0)))
    assert not run.of("a")[0].valid
    found = {slo.name: slo.status for slo in run.slos}
    assert found == {"far": "met", "near": "unresolved", "rate": "met", "high": "unresolved"}


def test_a_quantile_that_noise_moved_far_is_missed_where_all_requests_take_much_longer():
    """Pauses put p95 at 300 ms and not at 94 ms; none of the requests took less than 94 ms."""
    played, rng = stage(0, "a", 32, measure=4.0), random.Random(3)
    sent = users(played, lambda _: 0.094, rng)
    pauses = list(stopping(0.2, rng, 8.0))
    made = recorded(played, [Request(paused(a, pauses), paused(b, pauses)) for a, b, _ in sent])
    taken = samples([made], seconds_taken(pauses, made.begun.at))
    slos = {"far": "p95 < 10ms at 32", "near": "p95 < 94ms at 32", "above": "p95 < 2s at 32"}
    found = {slo.name: slo.status for slo in analysed([made], slos, samples=taken).slos}
    assert found == {"far": "missed", "near": "unresolved", "above": "met"}


def test_noise_that_is_more_than_useful_makes_a_point_invalid_and_keeps_its_interval():
    played = stage(0, "a", 8, measure=4.0)
    made = recorded(played, users(played, lognormal(0.08, 0.3), random.Random(1), servers=6))
    (found,) = (
        p for p in points([made], samples([made], lambda end: (0.5, 0.0))) if p.request == "all"
    )
    assert (found.valid, found.noisy, found.counts) == (False, True, True)
    assert found.throughput.high > (1 + USEFUL) * found.throughput.value


def test_a_pause_that_goes_on_over_the_end_of_a_look_counts_as_one():
    """A burst of 300 ms is in two quarter seconds; 10 % of each of them is many short ones."""
    taken = (0.0, 0.15, 0.15, 0.0, 0.2, 0.05, 0.0, 0.025, 0.025)
    looks = [TakenTime(0.25 * n, 0.25 * (n + 1), host=part) for n, part in enumerate(taken)]
    lengths = [sum(one.seconds for one in each) for each in _pauses(looks)]
    assert [one for one in lengths if one] == pytest.approx([0.3, 0.25, 0.025, 0.025])


def test_the_ceiling_of_a_core_that_others_use_is_that_of_the_rest():
    gauges = {"lag": 0.4, "loop_cpu": 0.45, "cpu": 0.45}
    taken = {"starved": 0.5, "others": 0.5}
    beyond = [level(n, 450, gauges=gauges, **taken) for n in (40, 80)]
    seen = [level(1), *beyond]
    found = limits(seen, ceilings.ceilings(seen, {}, None))[80]
    assert "0.5 of 1 core / 1 ms = 500/s is the ceiling" in found.why
    assert found.ceiling == pytest.approx(500)


def test_waits_for_a_core_do_not_explain_a_service_that_is_mostly_idle():
    """A service that ran or waited for 56 % of the time has its requests held by something else."""
    seen = [level(n, 330, black_box=True, cpu=0.15, cores=1) for n in (32, 64)]
    seen = [replace(one, starved=0.41, others=0.38) for one in seen]
    found = limits(seen, ceilings.ceilings(seen, {}, None))
    assert all(one.resource != "cpu" for one in found.values())


def test_throughput_that_is_lower_by_chance_or_noise_is_not_down():
    wide = disturbed(3, 32.7, 50.0).model_copy(
        update={"throughput": Estimate(value=32.7, low=1.3, high=82.7)}
    )
    rest = [disturbed(n, 25.0 * n, 25.5 * n) for n in (1, 2, 12)]
    low, middle, top = rest
    seen = [low, middle, wide, top, disturbed(40, 300.0, 301.0)]
    knee = Knee(level=12.0, low=10.0, high=14.0, throughput=300.0, beyond="flat")
    told = sentence(Run(id="r", name="r", started="", points=seen, knees={"a": knee}), "a")
    assert told.startswith("a: flat to 12 users, then throughput stops at 300/s")
