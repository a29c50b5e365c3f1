"""Whatever is played, no sentence says more than its table."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loadtests.analysis.test_truth_causes import ledgers
from tests.support.contradictions import contradictions
from tests.support.disturbed import paused, samples, seconds_taken
from tests.support.recorded import analysed, arrivals, hung, lognormal, recorded, stage, users

LADDERS = [
    (1, 5, 10, 20, 40),
    (1, 2, 4, 8, 16, 32),
    (10, 20, 40),
    (20, 40, 80),
    (1, 40),
    (5, 15, 45),
    (3,),
    (1, 2, 3),
]
SLOS = {
    "slow": "p95 < 120ms at 20",
    "tail": "p99 < 1s at 40",
    "failed": "errors < 1%",
    "some": "errors < 5% at 5",
    "rate": "throughput > 100/s at 20",
    "bend": "knee > 15",
    "mean": "mean < 80ms at 10",
}


@st.composite
def services(draw):
    """How a service answers, by level: times, servers, failures, and what becomes of it."""
    mean = draw(st.sampled_from((0.01, 0.05, 0.3, 1.5)))
    return {
        "mean": mean,
        "variation": draw(st.sampled_from((0.0, 0.02, 0.3, 1.0, 2.0))),
        "servers": draw(st.sampled_from((None, None, 1, 2, 4, 12))),
        "failing": draw(st.sampled_from((0.0, 0.0, 0.004, 0.2, 0.9, 1.0))),
        "slow_failures": draw(st.sampled_from((None, None, 0.5, 10.0))),
        "fails_beyond": draw(st.sampled_from((None, None, None, 10, 30))),
        "hangs_beyond": draw(st.sampled_from((None, None, None, 10, 30))),
        "worse": draw(st.sampled_from((0.0, 0.0, 0.02, 0.1))),
        "think": draw(st.sampled_from((0.0, 0.0, 0.0, 0.2, 1.0))),
    }


def played(service, levels, seed, *, model="closed", measure=3.0, own=False, drift=0.0):
    """
    The run of a ladder.

    A service gets slower by `worse` for each user beyond ten, fails beyond one level, hangs beyond
    another, and drifts by `drift` of its times in each second.
    """
    rng, records, everything = random.Random(seed), [], []
    for number, level in enumerate(levels):
        one = stage(
            number,
            "a",
            level,
            settle=1.0,
            measure=measure,
            model=model,
            think_time=service["think"] if model == "closed" else 0.0,
        )
        hangs = service["hangs_beyond"]
        if hangs is not None and level > hangs and model == "closed":
            record = hung(one, rng)
            everything.append([])
        else:
            record, sent = _answered(service, one, rng, drift)
            everything.append(sent)
        if own:
            record.stage = record.stage.model_copy(update={"own_tasks": True, "think_time": 0.0})
        records.append(record)
    samples = ledgers(records, everything) if model == "closed" and rng.random() < 0.3 else ()
    return analysed(records, SLOS if model == "closed" else {}, samples=samples)


def disturbed_run(service, levels, seed, share, bursts):
    """The run of a ladder while everything stands still for a part of the time."""
    rng, records, taken = random.Random(seed), [], []
    for number, level in enumerate(levels):
        one = stage(number, "a", level, settle=1.0, measure=3.0)
        _, sent = _answered(service, one, rng, 0.0)
        now, pauses = 0.0, []
        while bursts and now < 6:
            length = rng.uniform(0.02, 0.5)
            now += rng.expovariate(share / (1 - share) / 0.26)
            pauses.append((now, now + length))
            now += length
        moved = [
            request._replace(start=paused(request.start, pauses), end=paused(request.end, pauses))
            for request in sent
        ]
        record = recorded(one, moved, "503")
        records.append(record)
        steady = (lambda end: (share, 0.0)) if not bursts else None
        taken += samples([record], steady or seconds_taken(pauses, record.begun.at))
    return analysed(records, SLOS, samples=taken)


def _answered(service, one, rng, drift):
    mean = service["mean"] * (1 + service["worse"] * max(one.level - 10, 0))
    scatter = lognormal(1.0, service["variation"]) if service["variation"] else lambda rng: 1.0
    beyond = service["fails_beyond"]
    share = max(service["failing"], 0.5 if beyond is not None and one.level > beyond else 0.0)
    if one.model == "open":
        sent = arrivals(
            one, lambda g: service["mean"] * scatter(g), rng, lambda: rng.random() >= share
        )
        return recorded(one, sent, "503"), sent

    def failing(g):
        if g.random() >= share:
            return None
        return service["slow_failures"] or mean * scatter(g)

    sent = users(one, lambda g: mean * scatter(g), rng, servers=service["servers"], failing=failing)
    if drift:
        sent = [
            request._replace(
                end=request.start + (request.end - request.start) * (1 + drift * request.start)
            )
            for request in sent
        ]
    return recorded(one, sent, "503"), sent


@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    services(),
    st.sampled_from(LADDERS),
    st.integers(0, 10_000),
    st.sampled_from(("closed", "closed", "closed", "open")),
    st.sampled_from((1.0, 3.0, 5.0)),
    st.booleans(),
    st.sampled_from((0.0, 0.0, 0.3)),
)
def test_no_sentence_contradicts_the_points(service, levels, seed, model, measure, own, drift):
    run = played(service, levels, seed, model=model, measure=measure, own=own, drift=drift)
    assert contradictions(run) == []


@settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    services(),
    st.sampled_from(LADDERS),
    st.integers(0, 10_000),
    st.sampled_from((0.05, 0.15, 0.4)),
    st.booleans(),
)
def test_no_sentence_contradicts_the_points_of_a_disturbed_run(
    service, levels, seed, share, bursts
):
    assert contradictions(disturbed_run(service, levels, seed, share, bursts)) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_service_has_no_growth_of_nothing(seed):
    service = {
        "mean": 0.05,
        "variation": 0.0,
        "servers": None,
        "failing": 0.0,
        "slow_failures": None,
        "fails_beyond": None,
        "hangs_beyond": None,
        "worse": 0.0,
        "think": 0.0,
    }
    run = played(service, (1, 5, 10, 20, 40), seed)
    assert contradictions(run) == []
