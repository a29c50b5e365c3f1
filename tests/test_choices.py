"""What a command line or a form may change of a plan, and what it is told when that cannot be."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import choices, plans


@given(st.sampled_from(sorted(plans.shipped())))
def test_the_plans_own_values_change_nothing(name):
    plan = plans.read(plans.find(name))
    assert choices.applied(plan, choices.of(plan)) == plan


def test_levels_become_rates_by_choosing_the_open_model():
    chosen = choices.applied(
        plans.default(), {"model": "open", "arrivals": "even", "levels": "50, 100"}
    )
    assert (chosen.load.model, chosen.load.arrivals) == ("open", "even")
    assert chosen.load.levels == (50, 100)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model": "opne"}, "load.model: \"opne\" must be 'closed' or 'open'"),
        ({"arrivals": "random"}, "load.arrivals: \"random\" must be 'poisson' or 'even'"),
        ({"model": "open", "levels": "0"}, "load.levels[0]: 0 must be 1 or more"),
        ({"model": "open", "levels": "20001"}, "20001 must be 20000 or less"),
        ({"model": "open", "levels": "0.5"}, "0.5"),
        ({"model": "open", "think_time": "1s"}, "load.think_time: '1s' is a pause of users"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_place(values, says):
    with pytest.raises(plans.PlanError) as told:
        choices.applied(plans.default(), values)
    assert says in str(told.value)


def test_a_locustfiles_users_cannot_be_played_in_the_open_model(tmp_path):
    (tmp_path / "own.py").write_text("")
    file = tmp_path / "plan.toml"
    file.write_text(
        'name = "own"\nlocustfile = "own.py"\n'
        '[deployments.a]\nvariant = "async-httpx"\n[load]\nlevels = [1]\n'
    )
    with pytest.raises(plans.PlanError, match=r"load\.model: users of a locustfile wait"):
        choices.applied(plans.read(file), {"model": "open"})


UPSTREAMS = [
    {"latency": "20ms"},
    {"latency": "20ms", "capacity": {"servers": 3, "queue": 5}, "errors": {503: 0.01}},
    {"latency": "uniform(1ms,9ms)", "faults": [{"fault": "reset", "probability": 0.5}]},
    {"latency": "20ms", "routes": [{"path": "/a", "json": {"a": None}}]},
    {"latency": "20ms", "timeline": {"phases": [{"name": "calm", "for": "5s"}]}},
]


def planned(upstream=None, slos=None):
    return plans.Plan.model_validate(
        {
            "name": "n",
            "upstream": upstream or {"latency": "20ms"},
            "deployments": {"a": {"variant": "async-httpx"}, "b": {"variant": "async-aiohttp"}},
            "requests": [{"path": "/external-data"}],
            "load": {"levels": [1, 40]},
            "slos": slos or {},
        }
    )


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_upstream_in_a_line_is_the_one_it_was(upstream):
    plan = planned(upstream)
    assert choices.applied(plan, choices.of(plan)) == plan


def test_a_latency_leaves_the_rest_of_the_upstream_as_it_is():
    plan = planned(UPSTREAMS[1])
    chosen = choices.applied(plan, {"upstream": "p50=50ms p95=80ms p99=150ms"}).upstream
    assert str(chosen.latency) == "p50=50ms p95=80ms p99=150ms"
    assert chosen.capacity == plan.upstream.capacity


def test_values_of_a_profile_are_laid_over_the_plans():
    line = 'latency = "200ms", capacity = {servers = 10}, errors = {503 = 0.5}'
    chosen = choices.applied(planned(UPSTREAMS[1]), {"upstream": line}).upstream
    assert (str(chosen.latency), chosen.capacity.servers, chosen.errors) == (
        "200ms",
        10,
        {503: 0.5},
    )
    assert chosen.capacity.queue == 5


@given(
    st.dictionaries(
        st.sampled_from([400, 429, 500, 503]), st.floats(0, 0.25), min_size=1, max_size=4
    ),
    st.integers(1, 1000),
    st.integers(0, 5000),
)
def test_what_a_line_says_of_an_upstream_is_read_back(errors, servers, latency):
    plan = planned({"latency": f"{latency}ms", "errors": errors, "capacity": {"servers": servers}})
    line = choices.of(plan)["upstream"]
    assert choices.applied(planned(), {"upstream": line}).upstream == plan.upstream


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("20 parsecs", "upstream: "),
        ("latency = 20ms", "texts stand in quotes"),
        ('latncy = "20ms"', "latncy"),
        ("errors = {503 = 2}", "503"),
        ('routes = [{path = "/", file = "/etc/passwd"}]', "file"),
        ('latency = "empirical(/etc/passwd)"', "latency"),
        ('latency = "20ms"\n[caps]', "cannot be read"),
        ("}", "upstream: "),
    ],
)
def test_an_upstream_that_cannot_be_is_told(line, says):
    with pytest.raises(plans.PlanError) as told:
        choices.applied(planned(), {"upstream": line})
    assert says in str(told.value)
    assert "root:" not in str(told.value)


def test_slos_keep_the_names_of_the_plan_and_others_get_one():
    plan = planned(slos={"fast": "p95 < 250ms at 40", "of-a": "p95(a) < 1s at 1"})
    line = "p95 < 250ms at 40; errors < 1%; mine = p99 < 1s at 1; p95(b) < 2s at 1"
    chosen = choices.applied(plan, {"slos": line}).slos
    assert {name: slo.text for name, slo in chosen.items()} == {
        "fast": "p95 < 250ms at 40",
        "errors": "errors < 1%",
        "mine": "p99 < 1s at 1",
        "p95-b-at-1": "p95(b) < 2s at 1",
    }


def test_an_slo_of_the_plan_goes_with_the_deployment_that_it_names():
    plan = planned(slos={"fast": "p95 < 250ms at 40", "of-a": "p95(a) < 1s at 1"})
    chosen = choices.applied(plan, choices.of(plan) | {"deployments": "b"})
    assert list(chosen.slos) == ["fast"]


def test_none_means_no_slos_and_is_shown_where_there_are_none():
    plan = planned(slos={"fast": "p95 < 250ms at 40"})
    assert choices.applied(plan, {"slos": "none"}).slos == {}
    assert choices.of(planned())["slos"] == "none"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("p95 < 250 at 40", "at column 7"),
        ("p95 < 250ms at 39", "39 is not among the levels (1, 40)"),
        ("p95(c) < 250ms at 40", "c"),
        ("a = p95 < 1s at 1; a = p99 < 1s at 1", "both called 'a'"),
        (";", "has none"),
    ],
)
def test_slos_that_cannot_be_are_told(line, says):
    with pytest.raises(plans.PlanError) as told:
        choices.applied(planned(), {"slos": line})
    assert says in str(told.value)


@given(st.sampled_from(["upstream", "slos"]), st.text(max_size=60))
def test_whatever_is_typed_is_taken_or_told(name, text):
    with suppress(plans.PlanError):
        choices.applied(planned(), {name: text})
