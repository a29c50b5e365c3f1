"""A saved run as the measure of a new one."""

import json
import tomllib

import pytest

from loadtests import environment, plans, results
from loadtests.compare import baselines
from loadtests.compare.baselines import Baseline
from loadtests.compare.saved_runs import NotComparable
from loadtests.processes.affinity import Cores
from loadtests.results import Run, UnreadableRun
from tests.support.example_runs import about, changed, example, point

pytestmark = pytest.mark.processes

PLAN = """
name = "tiny"
[deployments.async]
variant = "async-aiohttp"
[[requests]]
path = "/external-data"
[load]
levels = [10, 40]
"""


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN, encoding="utf-8")
    return plans.read(file)


def measured(plan: plans.Plan, name: str = "async") -> Run:
    """The plan as if it had been played here, just now."""
    return Run(
        id="base",
        name=plan.name,
        started="2026-11-20T13:15:00Z",
        environment=environment.facts(plan.seed) | {"cores_used": Cores.here().described()},
        deployments={name: {}},
        plan=tomllib.loads(plans.to_toml(plan)),
        points=[
            point(name, level, throughput=level * 18.0, p50=0.05, p95=0.08, p99=0.15)
            for level in plan.load.levels
        ],
    )


def saved(run: Run, folder):
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(results.to_json(run), encoding="utf-8")
    return folder


def chosen(run: Run, plan: plans.Plan, tmp_path, level=None, anyway=False) -> Baseline:
    folder = saved(run, tmp_path / "base")
    return baselines.chosen(folder, plan, level=level, margin=0.05, anyway=anyway)


def slower(run: Run) -> Run:
    def alter(one):
        times = {n: e and about(e.value * 1.3) for n, e in one.response_time.items()}
        return one.model_copy(update={"response_time": times})

    return changed(run, alter)


def test_a_run_of_the_same_plan_on_this_machine_is_a_baseline(plan, tmp_path):
    found = chosen(measured(plan), plan, tmp_path)
    assert found.run == measured(plan).model_copy(update={"environment": found.run.environment})
    assert (found.level, found.margin, found.anyway) == (None, 0.05, False)


def test_another_plan_or_machine_is_refused_with_every_difference(plan, tmp_path):
    run = measured(plans.altered(plan, measure="5s"))
    other = plans.altered(plan, measure="9s", levels="10,40,80")
    elsewhere = run.model_copy(update={"environment": run.environment | {"cpu": "another"}})
    with pytest.raises(NotComparable) as refused:
        chosen(elsewhere, other, tmp_path)
    said = str(refused.value)
    assert "load: levels is [10, 40] in A, [10, 40, 80] in B" in said
    assert "load: measure is 5s in A, 9s in B" in said
    assert "environment: cpu is another in A, " in said
    assert chosen(elsewhere, other, tmp_path, anyway=True).anyway


def test_a_baseline_without_valid_levels_is_refused_even_with_anyway(plan, tmp_path):
    run = measured(plan)
    busy = changed(run, lambda one: one.model_copy(update={"valid": False}))
    died = run.model_copy(update={"points": []})
    two = run.model_copy(update={"deployments": {"async": {}, "threads": {}}})
    named = measured(plan, "x").model_copy(update={"deployments": {"x": {}, "y": {}}})
    for useless, level, says in (
        (busy, None, "No level of the plan was measured validly in the baseline base"),
        (died, None, "No level of the plan was measured validly"),
        (two, 20, "20 is not a level that was measured validly"),
        (named, None, "No deployment is in both: A has x, y; B has async"),
    ):
        with pytest.raises(NotComparable, match=says):
            chosen(useless, plan, tmp_path, level=level, anyway=True)


def test_a_folder_without_a_run_is_no_baseline(plan, tmp_path):
    with pytest.raises(UnreadableRun, match="holds no run"):
        baselines.chosen(tmp_path, plan, level=None, margin=0.05, anyway=False)


def test_a_run_is_compared_only_with_the_baseline_in_its_folder(plan, tmp_path):
    run = slower(measured(plan))
    assert baselines.judged(run, tmp_path) == (run, None)
    baseline = Baseline(level=10, margin=0.1, run=measured(plan))
    (tmp_path / baselines.FILE).write_text(baselines.to_json(baseline), encoding="utf-8")
    judged, found = baselines.judged(run, tmp_path)
    assert [(v.verdict, v.level, v.margin) for v in judged.verdicts] == [("WORSE", 10, 0.1)]
    assert found.verdicts == judged.verdicts
    assert judged.model_copy(update={"verdicts": []}) == run
    assert baselines.judged(run, tmp_path)[0] == judged


def test_a_kept_baseline_survives_the_way_through_its_file(tmp_path):
    baseline = Baseline(level=40, margin=0.02, anyway=True, run=example())
    (tmp_path / baselines.FILE).write_text(baselines.to_json(baseline), encoding="utf-8")
    assert baselines.kept(tmp_path) == baseline
    assert (
        json.loads((tmp_path / baselines.FILE).read_text(encoding="utf-8"))["format"]
        == "brownout-baseline/1"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "brownout-baseline/2", "run": {}}'])
def test_an_unreadable_stored_baseline_is_reported(tmp_path, text):
    (tmp_path / baselines.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableRun, match=r"baseline\.json cannot be read"):
        baselines.kept(tmp_path)


def test_an_interrupted_run_needs_anyway_for_a_verdict():
    """An unreadable baseline must never look as if nothing had changed."""
    cut = example().model_copy(update={"status": "interrupted"})
    found = Baseline(run=example()).compared(cut)
    assert {one.verdict for one in found.verdicts} == {"INVALID"}
    assert "The baseline is not alike: run B was interrupted." in found.verdicts[0].sentence
    known = Baseline(run=example(), anyway=True).compared(cut)
    assert "INVALID" not in {one.verdict for one in known.verdicts}
