"""What a command line or a form may change of a plan, and what it is told when that cannot be."""

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
