"""Draws repeat with their seed, whatever else is drawn."""

from collections.abc import Iterable
from itertools import pairwise
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.latency.draws import STRATA, Stream
from mock_upstream.latency.parser import parse
from mock_upstream.profiles.profile import Profile
from mock_upstream.routes import Responders

SPREAD = "uniform(10ms,90ms)"
PATHS = ["/a", "/b", "/c"]


def delays(profile: Profile, paths: Iterable[str]) -> dict[str, list[float]]:
    """What each path's requests are asked to take, in their order."""
    responders = Responders(profile)
    drawn: dict[str, list[float]] = {path: [] for path in PATHS}
    for path in paths:
        drawn[path].append(responders.find("GET", path)[0].draw()[0])
    return drawn


def profile(**more: object) -> Profile:
    routes = [{"path": path} for path in PATHS]
    return Profile.model_validate({"latency": SPREAD, "routes": routes, **more})


@given(st.permutations(PATHS * 4))
def test_the_order_of_other_routes_does_not_change_a_delay(order: list[str]) -> None:
    assert delays(profile(seed=7), order) == delays(profile(seed=7), sorted(order))


def test_errors_do_not_shift_the_delays() -> None:
    calm, failing = profile(), profile(errors={503: 0.5})
    assert delays(calm, PATHS * 50) == delays(failing, PATHS * 50)


def test_another_route_before_it_does_not_change_a_delay() -> None:
    more = [{"path": "/new"}, *({"path": path} for path in PATHS)]
    assert delays(profile(routes=more), PATHS * 5) == delays(profile(), PATHS * 5)


def test_another_seed_gives_other_delays() -> None:
    assert delays(profile(seed=1), PATHS) != delays(profile(seed=2), PATHS)


def test_two_routes_draw_apart() -> None:
    drawn = delays(profile(), PATHS * 5)
    assert drawn["/a"] != drawn["/b"]


def test_error_statuses_come_as_often_as_asked() -> None:
    responder = Responders(profile(errors={503: 0.2, 500: 0.05})).find("GET", "/a")[0]
    statuses = [responder.draw()[1] for _ in range(20_000)]
    # Within five standard deviations; the seed decides, so this either always holds or never.
    assert abs(statuses.count(503) - 4000) < 5 * (20_000 * 0.2 * 0.8) ** 0.5
    assert abs(statuses.count(500) - 1000) < 5 * (20_000 * 0.05 * 0.95) ** 0.5
    assert statuses.count(200) == 20_000 - statuses.count(503) - statuses.count(500)


def test_errors_that_add_up_to_one_leave_no_good_answer() -> None:
    responder = Responders(profile(errors={500: 0.1, 502: 0.2, 503: 0.7})).find("GET", "/a")[0]
    assert {responder.draw()[1] for _ in range(10_000)} == {500, 502, 503}


def test_the_first_draws_of_a_stream_fill_the_interval_evenly() -> None:
    stream = Stream(0, "ANY /", "latency")
    counts = [0] * 20
    for ordinal in range(20_000):
        counts[int(stream.uniform(ordinal) * 20)] += 1
    chi_square = sum((seen - 1000) ** 2 / 1000 for seen in counts)
    assert chi_square < 43.8  # 19 degrees of freedom, one in a thousand


@given(st.integers(), st.text(), st.integers(0, 2**70))
def test_a_draw_is_never_0_and_never_1(seed: int, route: str, ordinal: int) -> None:
    assert 0 < Stream(seed, route, "latency").uniform(ordinal) < 1


ordinals = st.integers(0, 10_000)


@given(st.integers(), ordinals)
def test_a_hundred_consecutive_draws_of_a_block_hit_each_stratum_once(
    seed: int, block: int
) -> None:
    stream = Stream(seed, "ANY /", "latency", "stratified")
    drawn = [stream.uniform(block * STRATA + place) for place in range(STRATA)]
    assert sorted(int(u * STRATA) for u in drawn) == list(range(STRATA))
    assert all(0 < u < 1 for u in drawn)


@given(st.lists(ordinals, min_size=1, max_size=30))
def test_a_stratified_draw_depends_only_on_its_ordinal(asked: list[int]) -> None:
    stream = Stream(7, "ANY /", "latency", "stratified")
    drawn = [stream.uniform(ordinal) for ordinal in asked]
    alone = [Stream(7, "ANY /", "latency", "stratified").uniform(ordinal) for ordinal in asked]
    assert drawn == alone


def test_two_blocks_two_purposes_and_two_seeds_have_orders_of_their_own() -> None:
    def order(seed: int, purpose: str, block: int) -> list[int]:
        stream = Stream(seed, "ANY /", purpose, "stratified")
        return [int(stream.uniform(block * STRATA + i) * STRATA) for i in range(STRATA)]

    orders = [order(0, "latency", 0), order(0, "latency", 1), order(0, "size", 0)]
    orders.append(order(1, "latency", 0))
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_neighbours_in_a_stratified_stream_are_nearly_independent() -> None:
    # Without replacement they must differ a little: by -1/99 inside a block.
    stream = Stream(3, "ANY /", "latency", "stratified")
    drawn = [stream.uniform(ordinal) - 0.5 for ordinal in range(20_000)]
    products = mean(a * b for a, b in pairwise(drawn)) * 12
    assert abs(products + 1 / 99) < 5 / 20_000**0.5


@pytest.mark.parametrize("size", [200, 1000])
def test_the_stratified_p95_repeats_from_run_to_run(size: int) -> None:
    latency = parse("lognormal(p50=50ms,p99=320ms)")

    def spread(sampling: str) -> float:
        p95s = []
        for seed in range(100):
            stream = Stream(seed, "ANY /", "latency", sampling)
            delays = sorted(latency.quantile(stream.uniform(n)) for n in range(size))
            p95s.append((delays[int(0.95 * size) - 1] + delays[int(0.95 * size)]) / 2)
        return stdev(p95s) / mean(p95s)

    assert spread("stratified") < spread("random") / 3


def test_a_key_decides_the_draw_alone() -> None:
    stream, again = Stream(1, "ANY /", "latency"), Stream(1, "ANY /", "latency", "stratified")
    again.uniform(5)
    assert stream.keyed(b"order-7") == again.keyed(b"order-7")
    assert stream.keyed(b"order-7") != stream.keyed(b"order-8")
    assert stream.keyed(b"order-7") != Stream(2, "ANY /", "latency").keyed(b"order-7")
    assert stream.keyed(b"order-7") != Stream(1, "ANY /", "size").keyed(b"order-7")


@given(st.binary())
def test_any_key_gives_a_draw_between_0_and_1(key: bytes) -> None:
    assert 0 < Stream(0, "ANY /", "latency").keyed(key) < 1


def test_keyed_draws_fill_the_interval_evenly() -> None:
    stream = Stream(0, "ANY /", "latency")
    counts = [0] * 20
    for number in range(20_000):
        counts[int(stream.keyed(b"%d" % number) * 20)] += 1
    assert sum((seen - 1000) ** 2 / 1000 for seen in counts) < 43.8  # as above
