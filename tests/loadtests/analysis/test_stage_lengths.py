"""A stage lasts as long as its numbers need, and a run no longer than its bound."""

import math
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import plans
from loadtests.analysis import repeats, runs
from loadtests.analysis.capacity.margins import Bounds
from loadtests.analysis.inputs import records
from loadtests.analysis.points import points
from loadtests.analysis.short_windows import too_short
from loadtests.plans import Plan
from loadtests.plans.pace import LEAST, LONGEST, Need, Pace
from loadtests.plans.slos import parse
from loadtests.recording.messages import Enough, Measured
from loadtests.recording.slices import LENGTH
from loadtests.results import Errors, Estimate, Point
from loadtests.run.controller import Targets, play, played
from loadtests.schedules import Played, Step, ladder
from loadtests.schedules.search import Search
from loadtests.storage.run_folder import RunFolder
from tests.support.simulated_engine import (
    SimulatedEngine,
    SimulatedLine,
    Station,
    System,
    constant,
    exponential,
    record,
    stage,
    threads,
    uniform,
)

seconds = st.floats(0.1, 500)
needs = st.builds(lambda a, b: Need(min(a, b), max(a, b)), seconds, seconds)


def plan(levels, names=("a",), **load):
    return Plan.model_validate(
        {
            "name": "adaptive",
            "deployments": {
                name: {"url": f"http://127.0.0.1:{n + 1}"} for n, name in enumerate(names)
            },
            "requests": [{"path": "/"}],
            "load": {"levels": levels, "settle": "1s", **load},
        }
    )


class Silent:
    def begins(self, *_): ...

    def measured(self, _): ...

    def problem(self, _): ...


def run(folder, a_plan, simulated, schedule=ladder, dead=dict):
    """The record of a run on the simulated engine, as it stands in its files, and its line."""
    folder.mkdir(exist_ok=True)
    engine = simulated if isinstance(simulated, SimulatedEngine) else SimulatedEngine(simulated)
    header = {"id": "x", "name": "x", "origin": 0.0}
    made = RunFolder(folder, header, tomllib.loads(plans.to_toml(a_plan)))
    line = SimulatedLine(engine)
    targets = Targets(dict.fromkeys(engine.systems, "http://127.0.0.1:1"), dead)
    play(a_plan, targets, line, made, Silent(), schedule)
    made.end("complete")
    (folder / "plan.toml").write_text(plans.to_toml(a_plan), encoding="utf-8")
    return records.read(folder), line


def test_a_stage_ends_when_its_numbers_are_narrow_enough(tmp_path):
    steady = threads(40, uniform(0.045, 0.055))
    found, line = run(tmp_path, plan([8, 20]), {"a": steady})
    assert [one.stage.measure for one in found.stages] == [LEAST, LEAST]
    assert [one for one in line.sent if isinstance(one, Enough)]
    assert all(one.complete for one in found.stages)
    [_, point] = [p for p in points(found.stages) if p.request == "all"]
    assert point.seconds == LEAST
    assert point.throughput.value == pytest.approx(400, rel=0.03)


@pytest.mark.parametrize("name", ["a", "mock"])
def test_a_stage_ends_with_its_deployment_or_the_mock(tmp_path, name):
    fixed = plan([8, 20], measure="20s")
    dead = lambda: {name: "it ended"}  # noqa: E731
    found, _ = run(tmp_path / "dead", fixed, {"a": threads(40, constant(0.05))}, dead=dead)
    assert [one.stage.measure < 1 for one in found.stages] == [True]
    other = {"b": "it ended"}
    found, _ = run(
        tmp_path / "other", fixed, {"a": threads(40, constant(0.05))}, dead=lambda: other
    )
    assert [one.stage.measure for one in found.stages] == [20, 20]


def test_levels_that_vary_more_are_measured_for_longer(tmp_path):
    found, _ = run(tmp_path, plan([20, 40]), {"a": threads(100, exponential(0.05))})
    [twenty, forty] = [one.stage.measure for one in found.stages]
    assert LONGEST >= twenty > forty > LEAST
    assert not [one for one in runs.run_of(found).points if "known to" in str(one.problems)]


def test_intervals_hold_the_truth_of_stages_that_end_once_they_are_narrow(tmp_path):
    """The short form of tests/benchmarks/stopping.py."""
    deviation, count = 0.35, 16
    service = lambda rng: rng.lognormvariate(math.log(0.05) - deviation**2 / 2, deviation)  # noqa: E731
    truth = {"p95": 0.05 * math.exp(1.645 * deviation - deviation**2 / 2), "throughput": 200.0}
    held, lengths = dict.fromkeys(truth, 0), set()
    for seed in range(count):
        engine = SimulatedEngine({"a": System([Station(service)])}, seed)
        found, _ = run(tmp_path / str(seed), plan([10]), engine)
        [point] = [one for one in runs.run_of(found).points if one.request == "all"]
        lengths.add(found.stages[0].stage.measure)
        for name in truth:
            seen = point.throughput if name == "throughput" else point.response_time[name]
            held[name] += seen.low <= truth[name] <= seen.high
    assert LEAST <= min(lengths) < max(lengths) < LONGEST
    assert min(held.values()) >= count - 2


def test_short_levels_propose_a_length(tmp_path):
    found, _ = run(tmp_path, plan([2]), {"a": threads(10, exponential(0.1))})
    assert found.stages[0].stage.measure == LONGEST
    [point] = [one for one in runs.run_of(found).points if one.request == "all"]
    assert "p95 is known to" in point.problems[-1]
    assert "would give 10 %" in point.problems[-1]


def test_a_fixed_measure_is_played_to_its_end(tmp_path):
    fixed = plan([8], measure="2s")
    found, line = run(tmp_path, fixed, {"a": threads(40, constant(0.05))})
    assert found.stages[0].stage.measure == 2.0
    assert not [one for one in line.sent if isinstance(one, Enough)]


def test_a_capacity_ends_within_its_time_and_measures_no_stage_beyond_it():
    slos = {"x": parse("p95 < 120ms at 1")}
    search = Search({"a": slos}, Bounds(lowest=1, highest=100, within=30.0))
    a_plan = plan([1, 100])
    engine, so_far, clock = SimulatedEngine({"a": threads(10, uniform(0.04, 0.06))}), [], 4.0
    while (step := search.next_stage(a_plan, so_far)) is not None:
        longest = step.measure or step.pace.longest
        made = record(engine, stage(len(so_far), "a", step.level, settle=1.0, measure=longest))
        point = next(p for p in points([made]) if p.request == "all")
        clock += 1.4 + longest
        one = played(step, made, point, seconds=1.4 + longest)
        so_far.append(replace(one, since=clock))
    assert len(so_far) >= 2
    assert clock <= 30.0


@given(st.lists(needs, min_size=1, max_size=20), st.floats(1, 300))
def test_no_stage_takes_what_the_others_need_least(several, left):
    levels = [2**number for number in range(len(several))]
    for number, one in enumerate(several):
        ahead = levels[number + 1 :]
        mine = Pace(left, ahead)
        measure = mine.measure(levels[number], one)
        assert LEAST <= measure <= mine.longest <= LONGEST
        assert measure % LENGTH == 0
        left -= measure
    assert left >= -LEAST * len(several)


def test_counts_come_before_goals_and_goals_share_what_is_left():
    few, many = Need(10.0, 20.0), Need(3.0, 20.0)
    assert Pace(100.0).measure(2, few) == 20.0
    assert Pace(16.0, (20, 20)).measure(2, few) == 10.0
    assert Pace(12.0, (1,)).measure(1, many) == 6.0
    assert Pace(1.0, (20, 20)).measure(2, few) == LEAST


def test_the_default_plan_starts_without_a_complaint_and_ends_in_time():
    default = plans.read(plans.find("default"))
    assert default.load.measure is None
    assert too_short(default) == []
    assert ladder.expected_seconds(default, len(ladder.expected(default))) < 128


def learnt(step, valid=True, need=None, measured=5.0, p95=0.1):
    point = Point(
        deployment=step.deployment, request="all", model="closed", level=step.level, requests=999,
        seconds=measured, throughput=Estimate(value=9), response_time={}, service_time={},
        errors=Errors(rate=0), steady="steady", valid=valid,
    )  # fmt: skip
    return Played(step, p95, 0.0, point=point, measured=measured, need=need, seconds=measured + 1.4)


def climbed(a_plan, result):
    """Every step that is played again after the climb."""
    so_far = []
    while (step := ladder.next_stage(a_plan, so_far)) is not None:
        assert ladder.remaining(a_plan, so_far) >= 1
        so_far.append(result(step))
        assert len(so_far) < 100
    return [one.step for one in so_far if one.step.again]


def test_a_level_that_the_machine_spoiled_is_played_again_after_the_climb():
    bad = Step("a", 4)
    steps = climbed(plan([1, 4, 16]), lambda s: learnt(s, valid=s != bad or bool(s.again)))
    assert [(step.level, step.again) for step in steps] == [(4, "the machine was busy")]
    assert steps[0].pace.least == 5.0


def test_a_level_is_played_again_twice_at_most_and_only_while_there_is_time():
    steps = climbed(plan([1, 4]), lambda s: learnt(s, valid=False))
    assert sorted(step.level for step in steps) == [1, 1, 4, 4]
    assert climbed(plan([1, 4]), lambda s: learnt(s, valid=False, measured=60.0)) == []


def test_a_level_that_collapsed_is_not_played_again():
    slow = {1: 0.1, 4: 3.0}
    steps = climbed(plan([1, 4]), lambda s: learnt(s, valid=False, p95=slow[s.level]))
    assert {step.level for step in steps} == {1}


def test_a_window_that_was_too_short_is_played_again_for_as_long_as_it_takes():
    def result(step):
        return learnt(step, need=Need(3.0, 12.1 if step.level == 4 else 4.0))

    [step, *_] = climbed(plan([1, 4]), result)
    assert (step.level, step.again) == (4, "its window was too short")
    assert step.pace.least == 12.25
    assert climbed(plan([1, 4]), lambda s: learnt(s, need=Need(3.0, 60.0))) == []


def test_with_a_fixed_measure_nothing_is_played_again():
    assert climbed(plan([1, 4], measure="5s"), lambda s: learnt(s, valid=False)) == []


def judged(*several):
    """The numbers of the stages of one level that count, and what its point says."""
    header = records.Header(id="x", name="x", plan={"load": {"levels": [5], "measure": "5s"}})
    [point] = [
        one
        for one in runs.run_of(records.Record(header, [*several])).points
        if one.request == "all"
    ]
    found = repeats.counted(several, [], points(several))
    return [one.stage.number for one in found.stages] if found else None, point


def made(number, *, again=False, **engine):
    system = {"a": threads(10, constant(0.05))}
    found = record(SimulatedEngine(system, **engine), stage(number, "a", 5))
    found.stage = found.stage.model_copy(update={"again": again})
    return found


@pytest.mark.parametrize("again", [False, True])
def test_of_a_disturbed_and_a_valid_stage_only_the_valid_one_counts(again):
    numbers, point = judged(made(0, cpu=0.97), made(1, again=again))
    assert numbers == [1]
    assert point.valid
    assert point.seconds == 5.0
    assert point.problems[-1].startswith("1 of 2 stages left out, since the machine disturbed them")


def test_a_longer_stage_takes_the_place_of_one_that_was_too_short():
    numbers, point = judged(made(0), made(1, again=True))
    assert numbers == [1]
    assert not any("left out" in text for text in point.problems)


def test_all_stages_count_if_none_or_all_are_valid():
    assert judged(made(0), made(1))[0] is None
    numbers, point = judged(made(0, cpu=0.97), made(1, again=True, cpu=0.97))
    assert numbers is None
    assert not point.valid
    assert judged(made(0), made(1, again=True, dies_at=1))[0] is None


def test_the_length_of_a_stage_is_what_was_measured():
    made = records.StageRecord(stage(0, "a", 5, measure=20.0))
    made.add(Measured(stage=0, measure=4.5))
    assert made.stage.measure == 4.5
    with pytest.raises(ValueError, match="20 s of 4"):
        made.add(Measured(stage=0, measure=20.0))
