"""The ladder with experiments: at which level, in which windows, and with what changed."""

import tomllib

import pytest

from loadtests import plans
from loadtests.analysis.inputs import records
from loadtests.analysis.runs import run_of
from loadtests.plans import CommandDeployment, Plan, PlanError, UrlDeployment, VariantDeployment
from loadtests.recording.messages import Raised
from loadtests.results import Errors, Estimate, Knee, Limit, Point, Run
from loadtests.run.controller import Targets, play
from loadtests.schedules import why
from loadtests.schedules.why import RAISES, TURNS
from loadtests.storage.run_folder import RunFolder
from tests.support.simulated_engine import SimulatedEngine, SimulatedLine, constant, threads


def plan(levels=(1, 4, 8, 16), **more):
    return Plan.model_validate(
        {
            "name": "why",
            "deployments": {
                "a": {"variant": "blocking-requests", "settings": {"threads": 4}},
                "b": {"variant": "async-httpx"},
            },
            "requests": [{"path": "/"}],
            "load": {"levels": list(levels), "settle": "1s", "measure": "2s"},
            **more,
        }
    )


def point(level, *, valid=True, failing=0.0, limit=None):
    rate = min(level / 0.05, 400.0)
    return Point(
        deployment="a",
        request="all",
        level=level,
        requests=1000,
        seconds=5.0,
        throughput=Estimate(value=rate),
        response_time={"mean": Estimate(value=level / rate)},
        service_time={},
        errors=Errors(rate=failing),
        valid=valid,
        limit=limit,
    )


def run(*points, knee=None, **more):
    knees = {"a": knee} if knee else {}
    return Run(id="r", name="r", started="", points=points, knees=knees, **more)


@pytest.mark.parametrize(
    ("levels", "knee", "chosen"),
    [
        ((1, 10, 20, 40, 80), Knee(level=20), 40),
        ((1, 10, 20, 30), Knee(level=20), 30),  # no higher than what was valid
        ((1, 2, 4, 8), Knee(level=1), 5),
        ((10, 20), Knee(level=None, high=5), 10),  # all of them lie beyond it
        ((1, 10, 20), Knee(level=None, low=20), 20),
        ((1, 10, 20), None, 20),
    ],
)
def test_the_level_lies_beyond_the_knee_and_among_those_that_were_valid(levels, knee, chosen):
    assert why.level(plan(), run(*map(point, levels), knee=knee), "a") == chosen


def test_failing_and_invalid_levels_are_not_chosen():
    points = [point(10), point(30), point(40, failing=0.2), point(80, valid=False)]
    assert why.level(plan(), run(*points, knee=Knee(level=20)), "a") == 30
    assert why.level(plan(), run(point(10, valid=False)), "a") is None


def test_a_window_and_all_windows_together_are_short():
    for levels in [(1, 40), (1, 400)]:
        settle, measure = why._lengths(plan(), [point(n) for n in levels], levels[-1])
        each = settle + measure + 0.4
        assert measure >= why.MEASURE
        assert (len(TURNS) + RAISES) * each + 2 < 60


def test_deployments_that_the_plan_does_not_have_are_refused():
    with pytest.raises(PlanError, match="'c'"):
        why.why(plan(), ["a", "c"])


def test_an_upstream_that_changes_by_itself_is_refused():
    upstream = {"timeline": {"phases": [{"name": "x", "for": "1s"}]}}
    with pytest.raises(PlanError, match="timeline"):
        why.why(plan(upstream=upstream), ["a"])


def test_a_limit_is_raised_where_its_setting_is_known():
    larger = Raised(name="threads", before=4, now=6)
    variant = VariantDeployment(variant="blocking-requests", settings={"threads": 4})
    assert why.raised(variant, larger).settings == {"threads": 6}
    larger = Raised(name="POOL", before=10, now=15)
    command = CommandDeployment(
        command="x --port {port}", env={"POOL": "10"}, limit={"env": "POOL"}
    )
    assert why.raised(command, larger).env == {"POOL": "15"}
    with pytest.raises(ValueError, match="runs already"):
        why.raised(UrlDeployment(url="http://127.0.0.1:1"), larger)


@pytest.mark.parametrize("env", [{}, {"POOL": "many"}, {"POOL": "0"}])
def test_a_limit_whose_variable_is_not_a_number_is_refused(env):
    with pytest.raises(ValueError, match=r"limit\.env"):
        CommandDeployment(command="x --port {port}", env=env, limit={"env": "POOL"})


class Silent:
    def begins(self, *_): ...

    def measured(self, _): ...

    def problem(self, _): ...


def test_a_run_plays_its_levels_then_both_experiments_and_its_files_tell_them_apart(tmp_path):
    a_plan = plan().model_copy(update={"deployments": {"a": plan().deployments["a"]}})
    engine = SimulatedEngine({"a": threads(4, constant(0.05))})
    folder = RunFolder(
        tmp_path, {"id": "x", "name": "x", "origin": 0.0}, tomllib.loads(plans.to_toml(a_plan))
    )
    changed = []

    def probe(name, wanted):
        changed.append((wanted.scale, wanted.raised))
        count = wanted.raised.now if wanted.raised else 4
        engine.systems = {"a": threads(count, constant(0.05 * wanted.scale))}

    schedule = why.why(a_plan, ["a"])
    named = Limit(resource="threads", why="-")

    def look():
        """The analysis, which has no gauges here that would name the threads."""
        found = run_of(folder.record)
        points = [
            one.model_copy(update={"limit": named}) if one.level > 4 else one
            for one in found.points
        ]
        return found.model_copy(update={"points": points})

    schedule.look = look
    targets = Targets({"a": "http://127.0.0.1:1"}, dict, probe=probe)
    play(a_plan, targets, SimulatedLine(engine), folder, Silent(), schedule)
    folder.end("complete")
    record = records.read(tmp_path)
    assert [one.stage.level for one in record.stages] == [1, 4, 8, 16]
    assert [one.stage.level for one in record.probes] == [8] * (len(TURNS) + RAISES)
    assert [scale for scale, _ in changed[: len(TURNS)]] == [(1.0, 0.8)[turn] for turn in TURNS]
    assert changed[len(TURNS) :] == [(1.0, Raised(name="threads", before=4, now=6))] * RAISES
    found = run_of(record)
    assert {one.level for one in found.points} == {1, 4, 8, 16}
    assert found.experiments[0].elasticity.value == pytest.approx(-1, abs=0.05)
