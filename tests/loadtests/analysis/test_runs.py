"""A run's folder becomes a Run, whole or cut off anywhere."""

import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtests import results
from loadtests.analysis.runs import analyse
from loadtests.results import UnreadableRun
from loadtests.storage.run_folder import RunFolder
from tests.support.simulated_engine import SimulatedEngine, constant, stage, threads

PLAN = {
    "name": "shop",
    "deployments": {"slow": {"variant": "x"}, "quick": {"variant": "y"}},
    "load": {"levels": [1, 5, 20]},
    "slos": {"fast": "p95 < 90ms at 5", "sure": "p95(quick) < 90ms at 20"},
}


def written(folder, levels=(1, 5, 20), *, status="complete", plan=PLAN, search=None, **options):
    """A run of two deployments as the controller writes it."""
    folder.mkdir(exist_ok=True)
    engine = SimulatedEngine(
        {"slow": threads(2, constant(0.1)), "quick": threads(99, constant(0.05))}
    )
    header = {"id": folder.name, "name": "shop", "started": "2026-01-01T00:00:00", "plan": plan}
    header |= {"capacity_search": search} if search else {}
    run = RunFolder(folder, header)
    number = 0
    for level in levels:
        for name in engine.systems:
            played = stage(number, name, level, **options)
            run.write(played)
            for message in engine.play(played):
                run.write(message)
            run.sample({"type": "sample", "at": engine.clock - 1.0, "processes": {}})
            number += 1
    run.end(status)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("runs") / "a", settle=0.5, measure=2.0)


def test_a_run_has_its_points_knees_and_slos(folder):
    run = analyse(folder)
    assert (run.id, run.name, run.status, run.problems) == ("a", "shop", "complete", [])
    assert [point.level for point in run.of("slow")] == [1, 5, 20]
    assert run.knees["slow"].level == pytest.approx(2, rel=0.05)
    assert run.knees["quick"].level is None
    assert [(slo.name, slo.deployment, slo.status) for slo in run.slos] == [
        ("fast", "slow", "missed"),
        ("fast", "quick", "met"),
        ("sure", "quick", "met"),
    ]


def test_an_slo_that_compares_deployments_is_judged_once_for_the_first(tmp_path):
    slos = {"better": "p95(quick) < 0.8 * p95(slow) at 5", "knee": "knee(slow) > knee(quick)"}
    run = analyse(written(tmp_path, plan=PLAN | {"slos": slos}, settle=0.5, measure=2.0))
    assert [(slo.name, slo.deployment, slo.status) for slo in run.slos] == [
        ("better", "quick", "unresolved"),
        ("knee", "slow", "missed"),
    ]
    assert run.slos[0].why.startswith("slow: ")


def test_a_search_says_which_slos_it_left_out(tmp_path):
    slos = {"quick": "p95 < 90ms at 5", "better": "p95(quick) < 0.8 * p95(slow) at 5"}
    search = {"lowest": 1, "highest": 20, "within": 60.0}
    run = analyse(written(tmp_path, plan=PLAN | {"slos": slos}, search=search, measure=2.0))
    assert set(run.capacities) == {"slow", "quick"}
    assert run.slos == []
    (problem,) = run.problems
    assert problem.startswith("slos.better: 'p95(quick) < 0.8 * p95(slow) at 5' compares two ")
    assert problem.endswith("; it was left out.")


def test_a_run_survives_the_way_through_json(folder, tmp_path):
    run = analyse(folder)
    (tmp_path / "run.json").write_text(results.to_json(run), encoding="utf-8")
    assert results.read(tmp_path) == run


def test_analysing_twice_gives_the_same(folder):
    assert analyse(folder) == analyse(folder)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 1))
def test_a_file_that_is_cut_off_anywhere_is_read_as_far_as_it_goes(folder, tmp_path, part):
    whole = (folder / "slices.jsonl").read_bytes()
    cut = whole[: int(part * len(whole))]
    (tmp_path / "slices.jsonl").write_bytes(cut)
    run = analyse(tmp_path)
    assert results.Run.model_validate_json(results.to_json(run)) == run
    assert run.status == ("complete" if len(cut) >= len(whole) - 1 else "interrupted")
    last = cut.rpartition(b"\n")[2]
    if last and whole[len(cut) : len(cut) + 1] not in (b"", b"\n"):  # in the middle of a line
        assert any("cannot be read" in problem for problem in run.problems)


@given(junk=st.lists(st.binary(max_size=40) | st.just(b'{"type": "done"}'), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_junk_after_the_first_line_is_not_a_mistake_of_the_user(tmp_path, junk):
    header = json.dumps({"type": "run", "format": "brownout-slices/1", "id": "1", "name": "n"})
    (tmp_path / "slices.jsonl").write_bytes(b"\n".join([header.encode(), *junk]))
    assert analyse(tmp_path).points == []


def test_an_interrupted_run_says_so_and_keeps_what_was_measured(tmp_path):
    run = analyse(written(tmp_path, (1,), status="interrupted"))
    assert run.status == "interrupted"
    assert len(run.points) == 4
    assert {slo.status for slo in run.slos} == {"unresolved"}


def test_an_slo_that_cannot_be_read_is_a_problem_of_the_run(tmp_path):
    plan = PLAN | {"slos": {"odd": "p96 < 1s at 1"}}
    run = analyse(written(tmp_path, (1,), plan=plan))
    assert run.slos == []
    assert run.problems[0].startswith("The SLO odd = 'p96 < 1s at 1' cannot be read: ")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UnreadableRun, match=r"no slices\.jsonl"):
        analyse(tmp_path)


def calls(function, *arguments):
    """How many calls of functions it takes: the work, whatever else this machine does."""
    count, before = 0, sys.getprofile()

    def look(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(look)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("longer", [{"levels": (1, 5, 20) * 8}, {"measure": 16.0}])
def test_the_time_of_an_analysis_grows_linearly_with_the_run(tmp_path, longer):
    """Eight times the stages, or windows of eight times the length; analysed once before."""
    usual = {"levels": (1, 5, 20), "settle": 0.5, "measure": 2.0}
    short, long = written(tmp_path / "a", **usual), written(tmp_path / "b", **usual | longer)
    analyse(short)
    assert calls(analyse, long) < 8 * calls(analyse, short)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"format": ' + "9" * 5000 + "}", "a whole number of too many digits"),
        (
            '{"format": "brownout-run/2", "points": [{"level": 1e999}]}',
            "a number that no measurement",
        ),
    ],
)
def test_a_run_json_that_no_version_wrote_is_refused(tmp_path, content, why):
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnreadableRun, match=why):
        results.read(tmp_path)
