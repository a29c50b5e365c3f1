"""How throughput answers a faster upstream: the truth of a simulated service is in the interval."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from loadtests.analysis.stats import elasticity
from loadtests.analysis.verdicts.blocks import block
from loadtests.results import Estimate
from loadtests.schedules.why import SCALE, SETTLE, TURNS, WINDOW
from tests.support.simulated_engine import SimulatedEngine, Station, System, record, stage

CALL = 0.05  # seconds in the upstream
MOST = 6  # requests that are served at a time; more of them only take longer to simulate
SEEDS = range(60)


def upstream(mean, variation, seed):
    """Delays as the mock draws them for an experiment: stratified, lognormal, by a seed."""
    strata, own = [], np.random.default_rng(list(seed.encode()))
    sigma = math.sqrt(math.log1p(variation**2))

    def draw(_):
        if not strata:
            u = (own.permutation(100) + own.random(100)) / 100
            strata.extend((mean * np.exp(sigma * ndtri(u) - sigma**2 / 2)).tolist())
        return strata.pop()

    return draw


def both(one, other):
    return lambda rng: one(rng) + other(rng)


def work(mean):
    """The work of a process: it varies from request to request."""
    return lambda rng: rng.gammavariate(4, mean / 4)


def threads(call, rng):
    """Threads that a request holds for its call, and for little else."""
    servers, own = rng.randint(2, MOST), 0.001
    return System([Station(both(call, work(own)), servers)]), servers, CALL / (CALL + own)


def pool(call, rng):
    """
    A connection, or a place at a limit, is held for the call alone; the rest of a request comes
    before it.
    """
    servers = rng.randint(2, MOST)
    stations = [Station(work(0.002)), Station(call, servers)]
    return System(stations), servers * (1 + 0.002 / CALL), 1.0


def shared(call, rng):
    """A loop that is blocked by its call, and by something else besides."""
    part = rng.uniform(0.2, 0.8)
    other = CALL * (1 - part) / part
    return System([Station(both(call, work(other)), 1)]), 1, part


def blocked(call, rng):
    """A loop that is blocked by its call."""
    return System([Station(both(call, work(0.0005)), 1)]), 1, CALL / (CALL + 0.0005)


def cpu(call, rng):
    """A core that a request needs for itself, and an upstream with room for all."""
    each = rng.uniform(CALL / MOST, 0.01)
    return System([Station(work(each), 1), Station(call)]), 1 + CALL / each, 0.0


KINDS = {
    "threads": threads,
    "pool": pool,
    "share": shared,
    "loop": blocked,
}
KINDS |= {"cpu": cpu}


def tried(kind, seed):
    """The elasticity that is found in a service of this kind, and the true one."""
    variation = random.Random(f"{kind}/{seed}").choice((0.2, 0.5, 1.0))
    pairs = {}
    for index, turn in enumerate(TURNS):
        call = upstream((1.0, SCALE)[turn] * CALL, variation, f"{seed}/{index // 2}")
        system, knee, part = KINDS[kind](call, random.Random(f"{kind} {seed}"))
        level = max(round(2 * knee), round(knee) + 4)
        engine = SimulatedEngine({"a": system}, seed)
        measure = WINDOW - SETTLE[0] - 0.25
        played = record(engine, stage(index, "a", level, settle=SETTLE[0], measure=measure))
        pairs.setdefault(index // 2, {})[turn] = block(played, []).values["throughput"]
    changed = elasticity.ratio([(each[0], each[1]) for each in pairs.values()])
    return elasticity.elasticity(changed, SCALE), elasticity.expected(part, SCALE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_holds_the_true_elasticity_in_95_of_100(kind):
    found = [tried(kind, seed) for seed in SEEDS]
    held = sum(one.low <= truth <= one.high for one, truth in found)
    assert held >= 53  # of 60 with 0.95 each, fewer come with a chance of 1 in 50
    zones = [elasticity.zone(one) for one, _ in found]
    if kind != "share":
        assert zones.count("free" if kind == "cpu" else "held") >= 0.9 * len(found)


def about(value, half):
    return Estimate(value=value, low=value - half, high=value + half)


@pytest.mark.parametrize(
    ("cause", "found", "said"),
    [
        ("threads", about(-0.95, 0.1), "confirmed"),
        ("threads", about(0.0, 0.1), "refuted"),
        ("threads", about(-0.4, 0.3), "cannot tell"),
        ("cpu", about(0.02, 0.1), "confirmed"),
        ("cpu", about(-0.9, 0.2), "refuted"),
        ("churn", about(-0.1, 0.5), "cannot tell"),
        ("upstream rate", about(0.0, 0.1), "confirmed"),
        ("upstream servers", about(0.0, 0.1), "refuted"),
        ("loop", about(-1.0, 0.1), "confirmed"),
        ("loop", about(-1.0, 20.0), "cannot tell"),
        ("threads", about(2.3, 16.0), "cannot tell"),
        ("retries", about(-1.0, 0.1), "cannot tell"),
    ],
)
def test_each_cause_of_the_table_is_confirmed_refuted_or_left_open(cause, found, said):
    assert elasticity.verdict(cause, found) == said


@given(st.floats(-1.5, 0.5), st.floats(0.0, 1.0), st.sampled_from(sorted(elasticity.EXPECTED)))
def test_nothing_is_refuted_by_an_interval_that_holds_what_is_expected(value, half, cause):
    low, high = elasticity.EXPECTED[cause]
    found = about(value, half)
    if elasticity.verdict(cause, found) == "refuted":
        assert found.high < low or found.low > high
    if elasticity.verdict(cause, found) == "confirmed":
        assert low <= value <= high


@given(st.floats(0.0, 1.0))
def test_the_part_of_the_upstream_is_the_one_that_gives_the_elasticity(part):
    changed = math.exp(elasticity.expected(part, SCALE) * math.log(SCALE))
    assert elasticity.upstream_part(changed, SCALE) == pytest.approx(part, abs=1e-9)


def test_a_single_pair_says_nothing():
    assert elasticity.ratio([(10.0, 12.0)]) is None
    assert elasticity.ratio([(0.0, 12.0), (10.0, 12.0)]) is None
