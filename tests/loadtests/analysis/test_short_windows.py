"""A plan that is too short is told so, with a length that would do."""

import re

import pytest

from loadtests import plans
from loadtests.analysis.short_windows import needed, too_short


def plan(tmp_path, load, deployment='variant = "blocking-requests"'):
    file = tmp_path / "plan.toml"
    file.write_text(
        f'name = "a"\n[upstream]\nlatency = "50ms"\n[deployments.a]\n{deployment}\n'
        f'[[requests]]\npath = "/external-data"\n[load]\n{load}\n',
        encoding="utf-8",
    )
    return plans.read(file)


def test_one_user_makes_too_few_requests_for_p99_and_enough_for_p95(tmp_path):
    (told,) = too_short(plan(tmp_path, 'levels = [1, 40]\nmeasure = "6s"'))
    assert told.startswith("No interval of p99 is to be expected at 1 user: ")
    assert "at most 120 come" in told


@pytest.mark.parametrize("model", ["closed", "open"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_proposed_length_is_never_too_short(tmp_path, model, repeats):
    load = f'model = "{model}"\nlevels = [3, 40]\nrepeats = {repeats}\nmeasure = '
    told = too_short(plan(tmp_path, load + '"2s"'))
    longest = max(float(text) for line in told for text in re.findall(r'"([\d.]+)s"', line))
    assert longest > 2
    assert too_short(plan(tmp_path, f'{load}"{longest}s"')) == []


def test_a_quantile_that_no_slo_asks_for_is_passed_over_where_only_those_count(tmp_path):
    load = 'levels = [1, 40]\nmeasure = "6s"'
    assert too_short(plan(tmp_path, load), asked_only=True) == []
    slos = '\n[slos]\na = "p99 < 1s at {}"'
    assert too_short(plan(tmp_path, load + slos.format(40)), asked_only=True) == []
    (told,) = too_short(plan(tmp_path, load + slos.format(1)), asked_only=True)
    assert told.startswith("No interval of p99 is to be expected at 1 user: ")


def test_think_time_makes_it_shorter(tmp_path):
    thinking = plan(tmp_path, 'levels = [40]\nmeasure = "6s"\nthink_time = "5s"')
    assert any("p99" in line for line in too_short(thinking))


def test_an_upstream_without_a_practical_length_is_reported(tmp_path):
    file = plan(tmp_path, 'levels = [1]\nmeasure = "6s"')
    slow = plans.altered(file, upstream="120s")
    told = too_short(slow)
    assert len(told) == 4
    for line in told[1:]:
        assert line.endswith("Even 10 minutes would not do: requests come too slowly.")


def test_a_deployment_at_a_url_gets_no_remark(tmp_path):
    known = plan(tmp_path, "levels = [1]", 'url = "http://127.0.0.1:9"')
    assert too_short(known) == []


def test_only_quantiles_take_a_number_of_requests():
    assert needed("p95") > 72
    assert needed("errors") == 0
