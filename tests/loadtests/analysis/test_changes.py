"""A run whose upstream somebody changed on the way: which points hold, and why."""

import json

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests import results
from loadtests.analysis import runs, upstream_changes
from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.records import Header, Record, StageRecord
from loadtests.analysis.runs import analyse
from loadtests.recording.messages import StageStarted, UpstreamChanged
from loadtests.results import UpstreamChange
from loadtests.storage.run_folder import RunFolder
from tests.support.simulated_engine import SimulatedEngine, constant, record, stage, threads

ORIGIN = 990.0
SLOW, FAST = {"latency": "200ms"}, {"latency": "1ms"}
PLANS = None  # the profile of a change back to the plan's
PLAN = {
    "name": "shop",
    "deployments": {"slow": {"variant": "x"}, "quick": {"variant": "y"}},
    "load": {"levels": [1, 5, 20]},
    "upstream": {"limits": [{"kind": "token_bucket", "limit": 400, "per": "1s"}]},
}


def ladder(levels=(1, 5, 20), *, measure=2.0):
    """The stages of two deployments that take turns, as they come back."""
    engine = SimulatedEngine(
        {"slow": threads(2, constant(0.1)), "quick": threads(99, constant(0.05))}
    )
    steps = [(name, level) for level in levels for name in ("slow", "quick")]
    return [
        record(engine, stage(number, name, level, settle=0.5, measure=measure))
        for number, (name, level) in enumerate(steps)
    ]


LADDER = ladder()


def changed(*made, stages=LADDER, origin=ORIGIN):
    """The record of a run in which these changes were made: (when, profile)."""
    told = [
        UpstreamChanged(at=at, text=f"change {number}", profile=profile)
        for number, (at, profile) in enumerate(made, 1)
    ]
    return Record(
        Header(id="1", name="shop", plan=PLAN, origin=origin), stages=stages, changes=told
    )


def of(deployment, level, stages=LADDER):
    """The stage that was played there."""
    return next(
        one for one in stages if (one.stage.deployment, one.stage.level) == (deployment, level)
    )


def measuring(*where):
    start, end = of(*where).window
    return (start + end) / 2


def settling(*where):
    return of(*where).window[0] - 0.1


def before(*where):
    """The time between the upstream's change and the stage before it, if there was one."""
    return of(*where).begun.at - 0.1


def after_all():
    return LADDER[-1].window[1] + 0.1


def invalid(run):
    return {(p.deployment, p.level): p.problems for p in run.points if not p.valid}


UNCHANGED = runs.run_of(changed())


def test_a_run_without_changes_mentions_none():
    assert UNCHANGED.changes == []
    assert UNCHANGED.problems == []
    assert invalid(UNCHANGED) == {}
    assert UNCHANGED.knees["slow"].level == pytest.approx(2, rel=0.05)
    assert [one.resource for one in UNCHANGED.ceilings["slow"]] == ["upstream"]


def test_a_change_while_a_point_is_measured_makes_that_point_invalid_and_says_which():
    run = runs.run_of(changed((measuring("slow", 5), SLOW)))
    assert set(invalid(run)) == {("slow", 5)}
    words = "the upstream was changed while it was measured: change 1"
    assert all(words in p.problems for p in run.of("slow") if p.level == 5)
    assert {p.valid for p in run.points if (p.deployment, p.level) == ("slow", 5)} == {False}
    assert len([p for p in run.points if not p.valid]) == 2  # of all requests, and of the only one


def test_all_changes_of_one_window_are_named():
    at = measuring("quick", 5)
    run = runs.run_of(changed((at - 0.2, SLOW), (at, FAST), (at + 0.2, PLANS)))
    ((*_, told),) = invalid(run).values()
    assert told.endswith("while it was measured: change 1; change 2; change 3")


@pytest.mark.parametrize("at", [before("slow", 5), settling("slow", 5), after_all()])
def test_a_change_between_two_stages_or_while_one_settles_leaves_every_point_valid(at):
    assert invalid(runs.run_of(changed((at, SLOW)))) == {}


def test_at_the_edges_of_a_window_nothing_is_being_measured():
    start, end = of("slow", 5).window
    run = runs.run_of(changed((start, SLOW), (end, PLANS)))
    assert invalid(run) == {}
    assert set(run.knees) == {"quick"}  # all of the window had the other one


def test_a_point_that_was_invalid_already_keeps_its_reasons():
    stages = ladder((1, 5))
    stages[2].dones.clear()
    run = runs.run_of(changed((sum(stages[2].window) / 2, SLOW), stages=stages))
    (problems,) = invalid(run).values()
    assert any("did not finish it" in problem for problem in problems)
    assert any("the upstream was changed" in problem for problem in problems)


def test_a_point_whose_repeats_are_of_two_upstreams_is_not_valid():
    stages = ladder((1, 5, 5))
    between = stages[4].begun.at - 0.1
    run = runs.run_of(changed((between, SLOW), stages=stages))
    assert set(invalid(run)) == {("slow", 5), ("quick", 5)}
    said = {problems[-1] for problems in invalid(run).values()}
    assert said == {"the upstream was changed between its repeats"}
    back = runs.run_of(changed((between - 0.05, SLOW), (between, PLANS), stages=stages))
    assert invalid(back) == {}


def test_a_deployment_that_was_measured_with_two_upstreams_has_no_knee_and_no_ceilings():
    run = runs.run_of(changed((before("slow", 20), SLOW), (before("quick", 20), PLANS)))
    assert invalid(run) == {}
    assert "slow" not in run.knees
    assert "slow" not in run.ceilings
    assert run.knees["quick"] == UNCHANGED.knees["quick"]
    assert run.ceilings["quick"] == UNCHANGED.ceilings["quick"]


def test_points_that_are_not_valid_mix_nothing():
    """The only one with another upstream is the one in whose window it was changed back."""
    at = measuring("slow", 5)
    run = runs.run_of(changed((settling("slow", 5), SLOW), (at, PLANS)))
    assert set(invalid(run)) == {("slow", 5)}
    assert set(run.knees) == {"slow", "quick"}


def test_a_stage_that_never_began_has_no_upstream():
    first = before("slow", 1)
    stages = [*LADDER, StageRecord(stage(6, "slow", 20))]
    assert set(runs.run_of(changed((first, SLOW), stages=stages)).knees) == {"slow", "quick"}


def test_a_change_that_is_undone_before_the_next_window_is_ignored():
    run = runs.run_of(changed((before("slow", 5), SLOW), (settling("slow", 5), PLANS)))
    assert set(run.knees) == set(run.ceilings) == {"slow", "quick"}
    assert run.problems == ["The upstream was changed 2 times while this ran."]


def test_an_equal_profile_in_other_words_is_not_a_change():
    turned = {"errors": {"503": 0.1}, "latency": "9ms"}
    again = dict(reversed(turned.items()))
    run = runs.run_of(changed((before("slow", 1), turned), (before("slow", 20), again)))
    assert set(run.knees) == {"slow", "quick"}


def test_a_change_before_the_first_window_leaves_one_upstream_for_all():
    run = runs.run_of(changed((before("slow", 1), SLOW)))
    assert set(run.knees) == {"slow", "quick"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([(after_all(), SLOW)], "The upstream was changed once while this ran."),
        (
            [(before("slow", 20), SLOW), (before("quick", 20), PLANS)],
            "The upstream was changed 2 times while this ran. Without a knee for that: slow.",
        ),
        (
            [(before("slow", 20), SLOW)],
            "The upstream was changed once while this ran. Without a knee for that: quick, slow.",
        ),
    ],
)
def test_the_run_counts_the_changes_and_names_deployments_without_a_knee(made, said):
    assert runs.run_of(changed(*made)).problems == [said]


@pytest.mark.parametrize(
    ("at", "deployment", "level"),
    [
        (before("slow", 1), "slow", 1),
        (measuring("slow", 1), "slow", 1),
        (before("slow", 5), "slow", 5),
        (settling("quick", 5), "quick", 5),
        (measuring("quick", 20), "quick", 20),
        (after_all(), None, None),
    ],
)
def test_a_change_is_shown_at_the_current_or_next_stage(at, deployment, level):
    (found,) = upstream_changes.of_record(changed((at, SLOW)))
    seconds = round(at - ORIGIN, 3)
    assert found == UpstreamChange(at=seconds, text="change 1", deployment=deployment, level=level)


def test_while_a_run_goes_on_a_change_waits_for_its_stage():
    at = LADDER[1].window[1] + 0.1
    begun = StageRecord(stage(2, "slow", 5, settle=0.5, measure=2.0))
    going_on = changed((at, SLOW), stages=[*LADDER[:2], begun])
    assert upstream_changes.of_record(going_on)[0].deployment is None
    begun.add(StageStarted(stage=2, at=at + 0.1, generators={}))
    assert upstream_changes.of_record(going_on)[0].deployment == "slow"


def test_the_time_of_a_change_is_that_since_the_run_began():
    first = LADDER[0].begun.at
    (found,) = upstream_changes.of_record(changed((first + 3, SLOW), origin=None))
    assert found.at == 3.0  # by the first stage, where the file does not say
    (found,) = upstream_changes.of_record(changed((ORIGIN - 1, SLOW)))
    assert found.at == 0.0
    (found,) = upstream_changes.of_record(changed((7.0, SLOW), stages=[], origin=None))
    assert (found.at, found.level) == (0.0, None)


profiles = st.sampled_from([PLANS, SLOW, FAST])


def by_time(made):
    return sorted(made, key=lambda one: one[0])


times = st.floats(LADDER[0].begun.at - 1, LADDER[-1].window[1] + 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(times, profiles), max_size=6).map(by_time))
def test_each_window_counts_by_its_own_upstream(made):
    run = runs.run_of(changed(*made))
    spoilt, seen = set(), {"slow": set(), "quick": set()}
    for one in LADDER:
        start, end = one.window
        name = one.stage.deployment
        if any(start < at < end for at, _ in made):
            spoilt.add((name, one.stage.level))
        else:
            played = [profile for at, profile in made if at <= start]
            seen[name].add(str(played[-1] if played else PLANS))
    assert set(invalid(run)) == spoilt
    assert set(run.knees) == {name for name, upstreams in seen.items() if len(upstreams) < 2}
    assert set(run.ceilings) == set(run.knees)
    assert [one.text for one in run.changes] == [f"change {n + 1}" for n in range(len(made))]
    assert results.Run.model_validate_json(results.to_json(run)) == run


# How it is written and read.

HEADER = {"id": "a", "name": "shop", "started": "2026-01-01T00:00:00", "origin": ORIGIN}


def played(folder, *made, status="complete"):
    """A run as session and controller write it; `made` are changes, by the stage before them."""
    run = RunFolder(folder, HEADER, PLAN)
    for number, one in enumerate(LADDER):
        for change in (change for place, change in made if place == number):
            run.write(change)
        run.write(one.stage)
        engine = SimulatedEngine(
            {"slow": threads(2, constant(0.1)), "quick": threads(99, constant(0.05))},
            clock=one.begun.at,
        )
        for message in engine.play(one.stage):
            run.write(message)
        run.sample({"type": "sample", "at": one.window[1], "processes": {}})
    run.end(status)
    return run


def at_stage(number, profile, text="latency 50ms → 200ms"):
    return number, UpstreamChanged(at=LADDER[number].begun.at - 0.1, text=text, profile=profile)


FULL = {"latency": "2ms", "errors": {"503": 0.5}, "capacity": None, "faults": [{"fault": "hang"}]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plan.toml").write_text(tomli_w.dumps(PLAN), encoding="utf-8")
    return tmp_path


def test_changes_are_read_back_as_they_were_written(folder):
    run = played(folder, at_stage(1, FULL), at_stage(4, PLANS, "latency 200ms → 50ms"))
    record = records.read(folder)
    assert record == run.record
    assert [one.profile for one in record.changes] == [FULL, None]


@pytest.mark.parametrize("made", [(), (at_stage(2, SLOW),), (at_stage(1, FULL), at_stage(2, None))])
def test_live_analysis_equals_analysis_of_the_files(folder, made):
    run = played(folder, *made)
    assert runs.run_of(run.record) == analyse(folder)
    assert len(runs.run_of(run.record).changes) == len(made)


def test_a_run_of_a_version_that_knew_no_changes_reads_as_before(folder):
    played(folder)
    assert analyse(folder).changes == []
    old = json.loads(results.to_json(UNCHANGED))
    del old["changes"]
    (folder / "run.json").write_text(json.dumps(old), encoding="utf-8")
    assert results.read(folder) == UNCHANGED


def test_a_change_of_a_newer_version_is_read_as_far_as_it_is_known(folder):
    _, change = at_stage(1, SLOW)
    played(folder, (1, change))
    file = folder / "slices.jsonl"
    written = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in written:
        if line["type"] == "change":
            line["who"] = "somebody"
    file.write_text("".join(json.dumps(line) + "\n" for line in written), encoding="utf-8")
    record = records.read(folder)
    assert record.changes == [change]
    assert "slices.jsonl: what this version does not know is left out: who." in record.problems


def test_a_change_that_cannot_be_read_is_named_and_the_others_hold(folder):
    _, change = at_stage(1, SLOW)
    played(folder, (1, change))
    with (folder / "slices.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"type": "change", "at": "noon", "text": "?", "profile": null}\n')
    record = records.read(folder)
    assert record.changes == [change]
    (problem,) = record.problems
    assert problem.endswith("cannot be read.")
