"""Validity: each reason is found, and good points are left alone."""

import pytest

from loadtests.analysis.inputs.records import Header, Record, StageRecord
from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import block
from loadtests.recording.messages import Lateness, Usage
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

SYSTEMS = {"fine": threads(40, exponential(0.05)), "instant": threads(40, constant(0.002))}
PLAYED = stage(0, "fine", 40)


def judged(played=PLAYED, **options):
    return points([record(SimulatedEngine(SYSTEMS, **options), played)])[0]


def altered(change, played=PLAYED):
    made = StageRecord(played)
    for message in SimulatedEngine(SYSTEMS).play(played):
        made.add(change(message))
    return points([made])[0]


def test_a_good_point_is_valid_and_has_no_problem():
    assert (judged().valid, judged().problems) == (True, [])


@pytest.mark.parametrize("think_time", [0.0, 0.05, 0.5])
def test_little_holds_in_good_points_whatever_the_think_time(think_time):
    for seed in range(15):
        found = judged(stage(0, "fine", 60, think_time=think_time), seed=seed)
        assert found.valid, found.problems


def test_users_who_are_neither_waiting_nor_thinking_contradict_little():
    found = altered(lambda message: message, played=PLAYED.model_copy(update={"level": 40}))
    assert found.valid
    records = [record(SimulatedEngine(SYSTEMS), PLAYED)]
    records[0].stage = PLAYED.model_copy(update={"level": 42})
    (contradicted,) = (p for p in points(records) if p.request == "all")
    assert not contradicted.valid
    assert "42 users, but 40.0 in flight" in contradicted.problems[0]


@pytest.mark.parametrize(("late", "fits"), [(0.0, False), (0.058, True)])
def test_pauses_that_timers_made_longer_do_not_contradict_little(late, fits):
    """Users pause for 56 ms in place of 50 ms, and timers woke 6 ms late in the mean."""
    played = stage(0, "fine", 60, think_time=0.056)
    made = record(SimulatedEngine(SYSTEMS), played)
    made.stage = played.model_copy(update={"think_time": 0.05})
    quarters = tuple(Lateness(index=n, late=late, worst=late / 5) for n in range(28))
    made.dones = {
        name: done.model_copy(update={"lateness": quarters}) for name, done in made.dones.items()
    }
    (found,) = (p for p in points([made]) if p.request == "all")
    assert any("Little's law" in text for text in found.problems) != fits


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("fine", ["the deployment ended before the window was over"]),
        ("mock", ["the mock upstream ended before the window was over"]),
        ("another", []),
    ],
)
def test_a_stage_in_which_the_deployment_or_the_mock_ended_is_not_valid(where, says):
    first, second = (
        record(SimulatedEngine(SYSTEMS), stage(number, "fine", level))
        for number, level in enumerate((20, 40))
    )
    run = Record(Header(id="", name=""), stages=[first, second])
    run.add_problem("it was killed by SIGKILL", where)
    later = run.begin(stage(2, "fine", 60))
    assert (later.died is None) == (where != "fine")
    found = {p.level: p for p in points([first, second]) if p.request == "all"}
    assert (found[20].valid, found[20].problems) == (True, [])
    assert (found[40].valid, found[40].problems) == (not says, says)
    assert block(second, []).wrong == says


def test_a_stage_that_began_with_the_queue_of_the_one_before_is_not_valid():
    one = record(SimulatedEngine(SYSTEMS), PLAYED)
    usage = Usage(stage=0, seconds=7.0, processes={}, carried=12)
    one.usage = usage
    (found,) = (p for p in points([one]) if p.request == "all")
    assert not found.valid
    assert "still had to serve 12 calls of the stage before" in found.problems[0]
    one.usage = usage.model_copy(update={"carried": 0})
    (found,) = (p for p in points([one]) if p.request == "all")
    assert found.valid


def test_a_busy_generator_is_the_bottleneck():
    found = judged(cpu=0.97)
    assert not found.valid
    assert found.problems == ["the load generator was the bottleneck: it used 97 % of a core"]
    assert (found.limit.resource, found.limit.why) == ("generator", found.problems[0])


def test_a_late_generator_is_the_bottleneck_only_where_that_shows():
    assert not judged(lag=0.02).valid  # of a p50 of 35 ms
    assert judged(lag=0.009).valid
    assert judged(stage(0, "fine", 640), lag=0.02).valid  # of a p50 of 790 ms
    instant = stage(0, "instant", 40)  # a p50 of 2 ms
    assert not judged(instant, lag=0.009).valid
    assert judged(instant, lag=0.002).valid


def test_requests_of_own_locustfiles_that_were_given_up_are_named():
    """Requests of a plan that are given up are recorded as failures."""

    def give_up(message):
        if message.type != "done":
            return message
        return message.model_copy(update={"unfinished": 3})

    assert altered(give_up).valid
    found = altered(give_up, played=PLAYED.model_copy(update={"own_tasks": True}))
    assert not found.valid
    assert "3 requests were given up" in found.problems[0]


def test_a_lost_generator_is_named():
    found = judged(generators=2, dies_at=0)
    assert not found.valid
    assert "generator generator-1 fell silent" in found.problems[0]


def test_a_service_that_fails_everything_is_measured_validly():
    system = threads(40, exponential(0.05))
    broken = type(system)(system.stations, failing=lambda level: 1.0)
    found = points([record(SimulatedEngine({"fine": broken}), PLAYED)])[0]
    assert (found.valid, found.problems) == (True, ["every request failed: 503"])
    assert set(found.response_time.values()) == {None}


def test_failures_are_named_before_the_bottleneck_that_they_made():
    broken = System([Station(constant(0.05))], failing=lambda level: 1.0)
    found = points([record(SimulatedEngine({"fine": broken}, cpu=0.99), PLAYED)])[0]
    assert not found.valid
    assert found.problems[0] == "every request failed: 503"
    assert found.problems[1].startswith("the load generator was the bottleneck")


def test_too_few_requests_are_a_note():
    found = judged(stage(0, "fine", 1))
    assert found.valid
    assert found.problems == [f"{found.requests} successful requests are too few for p99"]


def with_pauses(pause):
    """One user, answers after 1 ms, and `pause` seconds between an answer and the next request."""
    system = System([Station(constant(0.001))])
    played = stage(0, "a", 1, think_time=pause, measure=5.0)
    made = record(SimulatedEngine({"a": system}), played)
    made.stage = played.model_copy(update={"think_time": 0.0})
    return next(p for p in points([made]) if p.request == "all")


def test_the_clients_own_work_between_fast_answers_is_no_contradiction():
    assert with_pauses(0.0001).valid
    assert not with_pauses(0.001).valid


@pytest.mark.parametrize("arrivals", ["poisson", "even"])
def test_a_rate_that_was_kept_is_valid(arrivals):
    played = stage(0, "fine", 200, model="open").model_copy(update={"arrivals": arrivals})
    for seed in range(10):
        found = judged(played, seed=seed)
        assert found.valid, found.problems


def test_a_load_that_differs_from_the_rate_is_reported():
    played = stage(0, "fine", 200, model="open")
    made = record(SimulatedEngine(SYSTEMS), played)
    made.stage = played.model_copy(update={"level": 300})
    found = points([made])[0]
    assert not found.valid
    assert "the load was not what was asked for" in found.problems[0]
    assert "instead of 300" in found.problems[0]


def test_requests_that_could_not_be_sent_invalidate_their_point():
    made = record(SimulatedEngine(SYSTEMS), stage(0, "fine", 200, model="open", settle=0.0))
    max(made.slices, key=lambda part: part.started).unsent = 7
    found = points([made])[0]
    assert not found.valid
    assert "7 of " in found.problems[0]
    assert "could not be sent" in found.problems[0]


def test_requests_that_were_sent_late_make_the_generator_the_bottleneck():
    def late(message):
        return message.model_copy(update={"late": 0.02}) if message.type == "done" else message

    found = altered(late, played=stage(0, "fine", 200, model="open"))
    assert found.problems == [
        "the load generator was the bottleneck: it sent requests 20 ms late, against a p50 of "
        f"{found.response_time['p50'].value * 1000:.1f} ms"
    ]
