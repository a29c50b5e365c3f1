"""What is concluded from threads that were looked at from outside, and from the canary."""

from types import SimpleNamespace
from typing import Any

import pytest

from loadtests.analysis import causes, outside
from loadtests.analysis.causes.ceilings import ceilings
from loadtests.analysis.checks import canaries
from loadtests.results import Outside
from tests.support.observed import level, point


def record(start=0.0, end=10.0, name="a") -> Any:
    stage = SimpleNamespace(deployment=name, settle=1.0)
    return SimpleNamespace(window=(start, end), stage=stage, died=None)


def quarter(at, main, pid="1", name="a", **more):
    return {"at": at, "deployment": name, "processes": {pid: {"main": main, **more}}}


def sample(*quarters, at=1.0, **more):
    return {"at": at, "threads": list(quarters), **more}


def limited(*levels):
    return causes.limits(levels, ceilings(levels, {}, None))


def seen(users, permits, main, **more):
    """A level of a service that tells nothing, with its threads as they were seen."""
    looked = Outside(looks=400, loops=1, main=main, **more)
    one = level(users, permits, black_box=True)
    object.__setattr__(one, "point", one.point.model_copy(update={"outside": looked}))
    return one


BLOCKED = {"sleeps": 0.93, "computes": 0.06, "events": 0.01}
WAITING = {"events": 0.9, "computes": 0.1}


def test_only_the_looks_in_the_window_at_this_deployment_count():
    samples = [
        sample(
            quarter(-1.0, {"events": 20}),
            quarter(1.0, {"sleeps": 20, "computes": 5}, sweeps=5, others={"socket": 40}, most=8),
            quarter(2.0, {"sleeps": 15}, sweeps=5, others={"socket": 30, "lock": 10}, most=7),
            quarter(2.0, {"socket": 15}, name="b"),
            quarter(10.5, {"events": 20}),
        )
    ]
    found = outside.of_level([record()], samples)
    assert found == Outside(
        looks=40,
        loops=1,  # it waited for events before
        main={"sleeps": 35 / 40, "computes": 5 / 40},
        threads=8.0,
        busy=7.0,
        most=8,
    )


def test_a_process_without_a_loop_is_left_out_where_others_have_one():
    samples = [
        sample(
            quarter(1.0, {"lock": 25}, pid="1"),
            quarter(1.0, {"events": 20, "computes": 5}, pid="2"),
        )
    ]
    found = outside.of_level([record()], samples)
    assert found is not None
    assert (found.looks, found.loops, found.main["events"]) == (25, 1, 0.8)


@pytest.mark.parametrize(
    "nonsense",
    [7, [7], [{"deployment": "a"}], [quarter("x", {"events": 1})], [quarter(1.0, {"events": -1})]],
)
def test_nonsense_of_another_version_is_ignored(nonsense):
    assert outside.of_level([record()], [{"at": 1.0, "threads": nonsense}]) is None


def test_unreadable_thread_states_count_as_unseen():
    samples = [sample(quarter(1.0, {"other": 25}))]
    assert outside.of_level([record()], samples) is None


def test_denied_readings_are_reported_once_and_only_without_others():
    why = {"denied": "/proc/PID: Permission denied", "instead": ""}
    samples = [{"denied": [why]}, {"denied": [why]}]
    assert outside.denied(samples, [seen(1, 20, WAITING).point]) == []
    [text] = outside.denied(samples, [point(1, 20.0, 0.05)])
    assert "Permission denied" in text
    assert outside.denied([], [point(1, 20.0, 0.05)]) == []


def test_a_loop_that_sleeps_is_named_with_its_share_and_ceiling():
    levels = [seen(1, 20, BLOCKED), seen(5, 20, BLOCKED), seen(20, 20, BLOCKED)]
    found = limited(*levels)[20]
    assert (found.resource, found.source) == ("loop", "outside")
    assert "sleeps (as time.sleep does) in 93 % of 400 looks" in found.why
    assert found.ceiling == pytest.approx(20, rel=0.05)
    assert found.evidence[0][0] == "seen from outside"


def test_a_loop_at_a_socket_is_blocked_by_its_own_calls():
    main = {"socket": 0.9, "computes": 0.1}
    found = limited(seen(1, 19, main), seen(5, 19, main), seen(20, 19, main))[20]
    assert found.resource == "loop"
    assert "at a socket" in found.why


@pytest.mark.parametrize(
    "main",
    [
        WAITING,
        {"computes": 0.95, "events": 0.05},
        {"lock": 0.3, "computes": 0.7},
        {"sleeps": 0.3, "computes": 0.1, "events": 0.6},
        {"sleeps": 0.3, "computes": 0.6, "events": 0.1},
    ],
)
def test_a_loop_that_waits_or_works_is_not_blocked(main):
    found = limited(seen(1, 40, main), seen(5, 40, main), seen(20, 40, main))
    assert all(one.resource != "loop" for one in found.values())


def test_a_main_thread_without_a_loop_is_not_a_blocked_loop():
    levels = [seen(users, 20, {"socket": 1.0}) for users in (1, 5, 20)]
    for one in levels:
        looked = one.point.outside.model_copy(update={"loops": 0})
        object.__setattr__(one, "point", one.point.model_copy(update={"outside": looked}))
    assert all(one.resource != "loop" for one in limited(*levels).values())


def threads(users, busy, most, total=None):
    return seen(users, 155, WAITING, busy=busy, most=most, threads=busy if total is None else total)


def test_busy_threads_that_are_as_many_at_each_load_are_the_limit():
    levels = [threads(1, 1.0, 1), threads(4, 4.0, 4), threads(20, 7.8, 8), threads(40, 7.9, 8)]
    found = limited(*levels)[40]
    assert found.resource == "threads"
    assert "7.9 of 8 busy" in found.why
    assert found.ceiling == pytest.approx(157, rel=0.05)


@pytest.mark.parametrize(
    "top",
    [
        threads(40, 16.0, 16),  # they rise with the load
        threads(40, 7.9, 8, total=20.0),  # others wait for work: something else limits these
        threads(40, 4.0, 8),  # most are seldom busy
        threads(8, 7.9, 8),  # as many as users
    ],
)
def test_threads_that_rise_or_wait_for_work_are_not_the_limit(top):
    levels = [threads(1, 1.0, 1), threads(20, 7.8, 8), top]
    levels.sort(key=lambda one: one.level)
    found = limited(*levels)
    assert found.get(top.level) is None or found[top.level].resource != "threads"


def laps(*seconds, core=1):
    return [{"at": 1.0 + n, "core": core, "seconds": one} for n, one in enumerate(seconds)]


def test_a_level_has_the_median_of_the_canary_on_the_cores_of_its_deployment():
    lines = [*laps(0.001, 0.003, 0.0012), *laps(0.009, 0.009, 0.009, core=0)]
    samples = [{"at": 5.0, "canary": lines, "processes": {"a": {"affinity": [1]}}}]
    assert canaries.of_level([record()], samples) == 0.0012
    assert canaries.of_level([record(start=3.5)], samples) is None
    assert canaries.of_level([record()], [{"at": 5.0, "canary": [7, {"at": "x"}]}]) is None


def with_canary(level, seconds):
    return point(level, 100.0, 0.1, canary=seconds)


def test_changed_core_speed_is_reported_in_one_line():
    points = [with_canary(1, 0.00125), with_canary(10, 0.0013), with_canary(20, 0.00185)]
    [text] = canaries.problems(points)
    assert "1.25 ms of CPU at 1 user of a" in text
    assert "1.85 ms at 20 users of a, 48 % more" in text
    assert canaries.problems(points[:2]) == []
    assert canaries.problems([with_canary(1, None)]) == []


def test_the_cpu_of_a_request_is_given_in_canaries():
    told = canaries.with_cpu(with_canary(1, 0.002), 0.001)
    assert told == {"request_cpu": 0.001, "request_canaries": 0.5}
    told = canaries.with_cpu(with_canary(1, None), 0.001)
    assert told == {"request_cpu": 0.001, "request_canaries": None}


def test_a_stored_comparison_says_that_the_cores_were_slower():
    a, b = with_canary(1, 0.001), with_canary(1, 0.0015)
    assert "slower" in canaries.apart(a, b)
    assert "faster" in canaries.apart(b, a)
    assert canaries.apart(a, with_canary(1, 0.0011)) == ""


def test_a_worker_that_ends_during_a_level_is_told():
    at = [n / 4 for n in range(40)]
    kept = [quarter(moment, {"events": 20}) for moment in at]
    gone = [quarter(moment, {"events": 20}, pid="2") for moment in at if moment < 5]
    zombie = [quarter(moment, {"other": 20}, pid="2") for moment in at if moment >= 5]
    helper = [quarter(moment, {"lock": 20}, pid="3") for moment in at if moment < 5]
    [text] = outside.ended([record()], [sample(*kept, *gone, *zombie, *helper)])
    assert text.startswith("a: 1 process that served requests ended during a level")
    for quiet in ([*kept, *helper], kept[:20], [quarter(1.0, None)], []):
        assert not outside.ended([record()], [sample(*quiet)])
    between = [record(0.0, 5.2), record(6.5, 10.0)]
    assert not outside.ended(between, [sample(*kept, *gone)])


def test_idle_threads_of_other_pools_do_not_hide_that_all_of_one_pool_are_busy():
    """asyncio's own pool, which resolves names, has six of them on two cores."""
    levels = [threads(1, 1.0, 1, 2.0), threads(20, 7.8, 8, 12.0), threads(40, 7.9, 8, 12.0)]
    assert limited(*levels)[40].resource == "threads"
