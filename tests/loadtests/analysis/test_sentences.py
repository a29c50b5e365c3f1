"""The sentence says what happened, in the numbers that the points hold."""

import math

import pytest

from loadtests.analysis import numbers
from loadtests.analysis.knees import knees
from loadtests.analysis.points import points
from loadtests.analysis.summary import sentence
from loadtests.results import Estimate, Knee, Limit, Run
from tests.support.example_runs import example, moving, open_model, searched
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

LEVELS = (1, 5, 10, 20, 40, 80)


def told(system, levels=LEVELS, status="complete", **options):
    engine = SimulatedEngine({"a": system}, **options)
    found = points(ladder(engine, "a", levels))
    run = Run(id="r", name="r", started="", status=status, points=found, knees=knees(found))
    return sentence(run, "a")


def test_a_knee_with_a_plateau():
    text = told(threads(20, constant(0.05)))
    assert text == (
        "a: flat to 20 users, then p95 grows 2.5 ms per user; throughput stops at 400/s."
    )


def test_a_knee_with_a_fall_names_where_it_falls_to():
    run = example()
    text = sentence(run, "async-httpx")
    lowest = numbers.rate(run.of("async-httpx")[-1].throughput.value)
    assert text == (
        "async-httpx: flat to 22 users, then p95 grows 18 ms per user; "
        f"throughput falls from 391/s to {lowest} at 160 users, 66.5 % less (60.1 % to 70.2 %); "
        "7.6 % of the requests fail at 160 users (503, timeout). One busy core."
    )


def test_a_p95_that_rises_before_the_knee_is_not_called_flat():
    run = example()
    points = [
        point.model_copy(
            update={"response_time": {**point.response_time, "p95": Estimate(value=0.5)}}
        )
        if (point.deployment, point.level) == ("blocking-requests", 20)
        else point
        for point in run.points
    ]
    text = sentence(run.model_copy(update={"points": points}), "blocking-requests")
    assert "flat to 10 users, at 20 p95 is already 500 ms, then p95 grows" in text


def test_a_knee_with_failures_beyond_it():
    system = System([Station(constant(0.05), 20)], failing=lambda n: 0.4 if n > 50 else 0.0)
    assert told(system).endswith(" of the requests fail at 80 users (503).")


def test_no_knee_within_the_levels():
    text = told(System([Station(constant(0.05))]))
    assert text == "a: follows the load up to 80 users: p95 50 ms, 1,600/s."


def test_the_limit_beyond_the_knee_is_a_sentence_of_its_own():
    run = example()
    why = "thread pool: 22 of 22 threads busy, 118 requests waiting"
    points = [
        point.model_copy(update={"limit": Limit(resource="threads", why=why)})
        if point.level > 20
        else point
        for point in run.points
    ]
    text = sentence(run.model_copy(update={"points": points}), "async-httpx")
    assert text.endswith(
        "(503, timeout). Thread pool: 22 of 22 threads busy, 118 requests waiting."
    )


def test_a_service_that_blocks_itself():
    assert told(threads(1, constant(0.05)), (1, 2, 5, 10)) == (
        "a: serves one request at a time: throughput stops at 20/s, p95 grows 50 ms per user."
    )


def test_a_service_that_fails_every_request():
    system = System([Station(constant(0.05))], failing=lambda n: 1.0)
    assert told(system) == "a: every request failed, from 1 user on (503)."


def test_failures_come_before_what_made_the_levels_invalid():
    system = System([Station(constant(0.05))], failing=lambda n: 1.0)
    assert told(system, cpu=0.95) == "a: every request failed, from 1 user on (503)."
    system = System([Station(constant(0.05))], failing=lambda n: 0.4)
    text = told(system, cpu=0.95)
    assert "% of the requests fail at " in text
    assert text.index("requests fail") < text.index("no level can be relied on")


def test_failures_at_a_lower_level_alone_are_said():
    system = System([Station(constant(0.05))], failing=lambda n: 0.4 if n == 20 else 0.0)
    assert " of the requests fail at 20 users" in told(system)


def test_a_level_that_moved_and_had_more_than_the_plateau_is_named():
    run = moving(example(), "blocking-requests", {40: "drifting"})
    points = [
        point.model_copy(update={"throughput": Estimate(value=900.0, low=880.0, high=920.0)})
        if (point.deployment, point.level) == ("blocking-requests", 40)
        else point
        for point in run.points
    ]
    text = sentence(run.model_copy(update={"points": points}), "blocking-requests")
    assert "throughput stops at 712/s (900/s at 40 users, drifting)" in text


def test_too_few_levels_give_no_sentence():
    text = told(threads(20, uniform(0.04, 0.06)), (1, 5))
    assert text.startswith("a: 2 of 2 levels tell too little: at 5 users p95 ")


def test_windows_shorter_than_a_cycle_of_the_users_name_a_longer_measure():
    loop = System([Station(constant(0.05)), Station(uniform(0.1, 0.3), 1)])
    found = points(ladder(SimulatedEngine({"a": loop}), "a", (16, 32), measure=3.0))
    run = Run(id="r", name="r", started="", status="complete", points=found, knees=knees(found))
    text = sentence(run, "a")
    assert "2 of 2 levels tell too little" in text
    turn = 32 / run.of("a")[-1].throughput.value
    assert f"measure for {numbers.duration(math.ceil(5 * turn))} or longer" in text
    assert "or longer" not in told(threads(20, uniform(0.04, 0.06)), (1, 5))


def test_an_interrupted_run_says_so():
    text = told(System([Station(constant(0.05))]), (1, 5, 10), status="interrupted")
    assert text.startswith("a: follows the load up to 10 users before the run was interrupted: ")


def test_levels_that_cannot_be_relied_on_give_the_reason_instead_of_numbers():
    assert told(threads(20, exponential(0.05)), cpu=0.95) == (
        "a: no level can be relied on: the load generator was the bottleneck: "
        "it used 95 % of a core."
    )


def test_a_deployment_that_was_not_measured():
    run = Run(id="r", name="r", started="", knees={"a": Knee(level=None)})
    assert sentence(run, "a") == "a: nothing was measured."


def test_levels_that_were_still_moving_are_named():
    run = moving(example(), "blocking-requests", {40: "drifting", 80: "drifting"})
    assert sentence(run, "blocking-requests").endswith("; drifting at 40 and 80 users.")
    run = moving(example(), "blocking-requests", {5: "none", 80: "over-saturated"})
    assert sentence(run, "blocking-requests").endswith("; not steady at 5 and 80 users.")
    run = moving(example(), "blocking-requests", dict.fromkeys((5, 10, 20, 40), "drifting"))
    assert sentence(run, "blocking-requests").endswith("; drifting at 4 of 7 levels.")


def test_an_invalid_point_is_not_called_drifting():
    run = moving(example(), "async-httpx", {80: "drifting"})
    assert "drifting" not in sentence(run, "async-httpx")


def test_in_the_open_model_it_says_from_which_rate_on_it_is_unstable():
    run = open_model()
    assert sentence(run, "blocking-requests") == (
        "blocking-requests: flat to 600/s; unstable from 800/s on: answers 716/s."
    )
    assert sentence(run, "async-aiohttp") == (
        "async-aiohttp: follows the load up to 1,000/s: p95 81.3 ms, 1,000/s."
    )


def test_a_lowest_rate_that_is_unstable_leaves_nothing_to_be_flat():
    run = open_model()
    run = run.model_copy(update={"points": [p for p in run.points if p.level >= 800]})
    assert sentence(run, "blocking-requests") == (
        "blocking-requests: unstable from 800/s on: answers 716/s, at the lowest rate already."
    )


def test_a_search_is_summarised_by_its_capacity():
    run = searched()
    assert sentence(run, "blocking-requests") == (
        "blocking-requests: meets its SLOs up to 78 users (75 to 82); p95 fails first."
    )
    assert sentence(run, "async-httpx") == (
        "async-httpx: errors < 0.1% fails at 1 user. One busy core."
    )
    assert sentence(run, "async-aiohttp") == (
        "async-aiohttp: meets its SLOs up to 160 users, the highest level that was allowed."
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (numbers.duration(0.0821), "82.1 ms"),
        (numbers.duration(0.0013, 2), "1.3 ms"),
        (numbers.duration(0.9999), "1 s"),
        (numbers.duration(1.8e-19, 2), "less than 0.001 ms"),
        (numbers.duration(2.3456), "2.35 s"),
        (numbers.rate(2950.4), "2,950/s"),
        (numbers.rate(100), "100/s"),
        (numbers.users(1), "1 user"),
        (numbers.users(1.04), "1 user"),
        (numbers.users(2.44), "2.4 users"),
        (numbers.users(38.4), "38 users"),
        (numbers.users(12000), "12,000 users"),
        (numbers.load(900, "open"), "900/s"),
        (numbers.loads([1], "closed"), "1 user"),
        (numbers.loads([5, 1000], "closed"), "5 and 1,000 users"),
        (numbers.loads([400, 600, 800], "open"), "400/s, 600/s and 800/s"),
        (numbers.percent(0.0), "0 %"),
        (numbers.percent(0.00001), "less than 0.01 %"),
        (numbers.percent(0.0763), "7.6 %"),
        (numbers.percent(0.999999), "100 %"),
    ],
)
def test_numbers_are_rounded_as_one_says_them(text, said):
    assert text == said


@pytest.mark.parametrize(
    ("then", "most", "said"),
    [
        ("flat", 400.0, "throughput stops at 400/s"),
        (None, 400.0, "at 400/s; the windows are too short to tell whether it falls"),
        ("errors", None, "more requests fail, though throughput still rises"),
    ],
)
def test_throughput_beyond_the_knee_is_described_as_far_as_known(then, most, said):
    found = points(ladder(SimulatedEngine({"a": threads(20, constant(0.05))}), "a", LEVELS))
    bend = Knee(level=20.0, low=19.0, high=21.0, throughput=most, beyond=then)
    run = Run(id="r", name="r", started="", status="complete", points=found, knees={"a": bend})
    assert said in sentence(run, "a")
    assert ("too short" in sentence(run, "a")) == (then is None)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("threads", "flat to 1 user, then p95 grows 50 ms per user"),
        ("unknown", "one user keeps it busy"),
        ("loop", "serves one request at a time"),
    ],
)
def test_one_at_a_time_is_said_of_what_serves_so(limit, said):
    """Four threads that are held after the answer are kept busy by one user, too."""
    engine = SimulatedEngine({"a": threads(1, constant(0.05))})
    found = points(ladder(engine, "a", (1, 2, 5, 10)))
    bends = {"a": knees(found)["a"].model_copy(update={"limit": limit})}
    run = Run(id="r", name="r", started="", points=found, knees=bends)
    assert sentence(run, "a").startswith(f"a: {said}")
