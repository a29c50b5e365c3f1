"""The benchmark of seeded faults (tests/benchmarks/causes.py), as short as it can be."""

import random

import pytest
from rich.console import Console

from loadtests import plans, session
from loadtests.cli.progress import shown
from tests.support.seeded_faults import Group, blocked, drawn, pool


def test_the_same_seed_draws_the_same_faults():
    assert drawn(7, 6) == drawn(7, 6)
    assert drawn(7, 6) != drawn(8, 6)


def test_every_drawn_group_is_a_plan(tmp_path):
    for group in drawn(3, 12):
        file = tmp_path / f"{group.number}.toml"
        file.write_text(group.plan(), encoding="utf-8")
        plan = plans.read(file)
        assert len(plan.deployments) == len(group.faults)
        assert plan.load.levels == group.levels


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    faults = [pool(random.Random(1), 4), blocked()]  # few threads: tests/loadtests/test_why_runs
    group = Group(0, '[upstream]\nlatency = "40ms"', (1, 20), faults, 0.04)
    folder = tmp_path_factory.mktemp("causes")
    (folder / "plan.toml").write_text(group.plan(), encoding="utf-8")
    with shown(Console(stderr=True)) as observer:
        return group, session.run(plans.read(folder / "plan.toml"), folder, observer, []).run


@pytest.mark.quiet
@pytest.mark.parametrize("index", range(2), ids=["pool", "blocked"])
def test_the_resource_that_was_made_scarce_is_named(played, index):
    group, run = played
    points = run.of(group.name(index))
    problems = [text for point in points if not point.valid for text in point.problems]
    if problems:
        pytest.skip(f"the machine was not quiet: {'; '.join(problems)}")
    top = points[-1]
    assert top.limit is not None
    assert top.limit.resource in group.faults[index].causes
    assert top.limit.source == "telemetry"
