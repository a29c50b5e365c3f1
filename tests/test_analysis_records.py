"""Records: what a controller collects live, and what is read back from a run's folder."""

import json

import pytest
from simulated_engine import SimulatedEngine, exponential, stage, threads

from loadtests.analysis import records
from loadtests.analysis.records import StageRecord
from loadtests.results import UnreadableRun
from loadtests.stages import Begun, Done, Lost, Report

PLAYED = stage(3, "threads", 4, settle=0.5, measure=1.0)


def engine(**options):
    return SimulatedEngine({"threads": threads(2, exponential(0.02))}, **options)


def messages(**options):
    return list(engine(**options).play(PLAYED))


def recorded(parts):
    record = StageRecord(PLAYED)
    for part in parts:
        record.add(part)
    return record


def write(folder, lines):
    (folder / "slices.jsonl").write_text("".join(line + "\n" for line in lines))
    return folder


def lines(**header):
    first = {"type": "run", "format": records.FORMAT, "id": "1", "name": "n", "plan": {"name": "n"}}
    return [
        json.dumps(first | header),
        PLAYED.model_dump_json(),
        *(message.model_dump_json() for message in messages()),
        '{"type": "end", "status": "complete"}',
    ]


def test_a_stage_is_complete_when_every_generator_sent_all_it_says():
    record = recorded(messages(generators=2))
    assert record.complete
    assert record.missing() == []


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (Begun, "never began"),
        (Done, "never said that it was done"),
        (Report, "reports of generator generator-0 are lost"),
    ],
)
def test_a_stage_that_lacks_a_message_is_not_complete_and_says_what_is_missing(lacking, words):
    parts = messages()
    parts.remove(next(part for part in parts if isinstance(part, lacking)))
    record = recorded(parts)
    assert not record.complete
    assert words in record.missing()[0]


def test_a_lost_generator_makes_the_stage_incomplete():
    parts = messages(generators=2, dies_at=3)
    assert isinstance(parts[-1], Lost)
    assert not recorded(parts).complete


def test_a_report_that_came_twice_counts_once():
    parts = messages()
    assert len(recorded(parts + parts).slices) == len(recorded(parts).slices)


def test_a_message_about_another_stage_is_refused():
    with pytest.raises(ValueError, match="stage 3 was told about stage 4"):
        recorded([Lost(stage=4, generator="x", reason="gone")])


def test_reading_gives_what_was_collected_live(tmp_path):
    found = records.read(write(tmp_path, lines()))
    assert found.stages == [recorded(messages())]
    assert found.status == "complete"
    assert found.problems == [
        "samples.jsonl is missing: what the processes and the mock did is not known."
    ]


def test_a_run_without_an_end_was_interrupted(tmp_path):
    assert records.read(write(tmp_path, lines()[:-1])).status == "interrupted"


def test_lines_that_cannot_be_read_are_counted_and_the_first_is_named(tmp_path):
    written = lines()
    written[3:3] = ["{", '{"type": "telegram"}']
    found = records.read(write(tmp_path, written))
    assert found.stages == [recorded(messages())]
    assert "slices.jsonl: 2 lines cannot be read, the first is line 4." in found.problems


def test_a_problem_of_a_deployment_names_it(tmp_path):
    problem = json.dumps({"type": "problem", "deployment": "threads", "text": "it died"})
    assert "threads: it died" in records.read(write(tmp_path, [*lines(), problem])).problems


def test_a_newer_format_is_read_as_far_as_it_goes_and_named(tmp_path):
    found = records.read(write(tmp_path, lines(format="brownout-slices/2", colour="blue")))
    assert len(found.stages) == 1
    assert "'brownout-slices/2'" in found.problems[0]


def test_a_plan_that_is_not_in_the_header_is_read_from_beside_it(tmp_path):
    (tmp_path / "plan.toml").write_text('name = "other"')
    found = records.read(write(tmp_path, lines(plan={})))
    assert found.header.plan == {"name": "other"}


def test_a_plan_that_is_nowhere_is_a_problem(tmp_path):
    found = records.read(write(tmp_path, lines(plan={})))
    assert any("plan is not known" in problem for problem in found.problems)


def test_something_else_is_not_a_run(tmp_path):
    with pytest.raises(UnreadableRun, match=r"holds no slices\.jsonl"):
        records.read(tmp_path)
    with pytest.raises(UnreadableRun, match="'har/1'"):
        records.read(write(tmp_path, lines(format="har/1")))


def test_a_sample_without_a_time_is_left_out_and_named(tmp_path):
    (tmp_path / "samples.jsonl").write_text('{"at": 1.5}\n{"cores": []}\n{"at": 2')
    found = records.read(write(tmp_path, lines()))
    assert found.samples == [{"at": 1.5}]
    assert "samples.jsonl: 2 lines cannot be read, the first is line 2." in found.problems
