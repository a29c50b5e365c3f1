"""Records: what a controller collects live, and what is read back from a run's folder."""

import json

import pytest

from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.points import points
from loadtests.recording.messages import GeneratorDone, GeneratorLost, Report, StageStarted
from loadtests.results import UnreadableRun
from tests.support.simulated_engine import SimulatedEngine, exponential, stage, threads

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
    (folder / "slices.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
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
        (StageStarted, "never began"),
        (GeneratorDone, "did not finish it"),
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
    assert isinstance(parts[-1], GeneratorLost)
    assert not recorded(parts).complete


def test_a_report_that_came_twice_counts_once():
    parts = messages()
    assert len(recorded(parts + parts).slices) == len(recorded(parts).slices)


def test_a_message_about_another_stage_is_refused():
    with pytest.raises(ValueError, match="stage 3 was told about stage 4"):
        recorded([GeneratorLost(stage=4, generator="x", reason="gone")])


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


def test_a_plan_that_is_not_in_the_header_is_read_from_its_folder(tmp_path):
    (tmp_path / "plan.toml").write_text('name = "other"', encoding="utf-8")
    found = records.read(write(tmp_path, lines(plan={})))
    assert found.header.plan == {"name": "other"}


def test_a_plan_that_is_nowhere_is_a_problem(tmp_path):
    found = records.read(write(tmp_path, lines(plan={})))
    assert any("plan is not known" in problem for problem in found.problems)


def test_another_file_is_not_a_run(tmp_path):
    with pytest.raises(UnreadableRun, match=r"holds no slices\.jsonl"):
        records.read(tmp_path)
    with pytest.raises(UnreadableRun, match="'har/1'"):
        records.read(write(tmp_path, lines(format="har/1")))


def test_a_long_name_of_another_format_is_told_in_short(tmp_path):
    with pytest.raises(UnreadableRun) as raised:
        records.read(write(tmp_path, lines(format="b" * 2000)))
    assert len(str(raised.value)) < len(str(tmp_path)) + 200


def test_a_sample_without_a_time_is_left_out_and_named(tmp_path):
    (tmp_path / "samples.jsonl").write_text(
        '{"at": 1.5}\n{"cores": []}\n{"at": 2', encoding="utf-8"
    )
    found = records.read(write(tmp_path, lines()))
    assert found.samples == [{"at": 1.5}]
    words = (
        "samples.jsonl: 2 lines cannot be read, the first is line 2; the file ends in the middle "
        "of its last line."
    )
    assert words in found.problems


def test_a_run_whose_last_line_is_cut_short_is_read_to_there(tmp_path):
    written = lines()[:-2]  # without the end, and the Done before it
    whole = records.read(write(tmp_path, written))
    (tmp_path / "slices.jsonl").write_text(
        "\n".join(written) + "\n" + lines()[-2][:40], encoding="utf-8"
    )
    found = records.read(tmp_path)
    assert found.stages == whole.stages
    assert found.status == "interrupted"
    number = len(written) + 1
    words = f"slices.jsonl: line {number} cannot be read; the file ends in the middle of its last"
    assert any(problem.startswith(words) for problem in found.problems)
    (point,) = (p for p in points(found.stages) if p.request == "all")
    assert not point.valid
    assert "did not finish it" in point.problems[0]


def test_additions_of_a_newer_version_are_left_out_and_named(tmp_path):
    written = [json.loads(line) for line in lines(format="brownout-slices/2")]
    written[1] |= {"weather": "fine", "requests": [{**written[1]["requests"][0], "colour": 1}]}
    for line in written[2:-1]:
        line["mood"] = None
        for part in line.get("slices", []):
            part["hue"] = {"deep": [1, 2]}
    written.insert(4, {"type": "telegram", "stage": 3})
    found = records.read(write(tmp_path, [json.dumps(line) for line in written]))
    assert found.stages == [recorded(messages())]
    assert found.status == "complete"
    assert found.problems[1:3] == [
        "slices.jsonl: line 5 cannot be read.",
        "slices.jsonl: what this version does not know is left out: colour, hue, mood, weather.",
    ]


def test_a_field_of_a_newer_version_does_not_excuse_a_broken_one(tmp_path):
    written = lines()
    written[1] = json.dumps(json.loads(written[1]) | {"weather": "fine", "level": "many"})
    found = records.read(write(tmp_path, written))
    assert found.stages == []
    assert "lines cannot be read, the first is line 2." in found.problems[0]


def test_samples_of_another_shape_are_no_reason_to_fail(tmp_path):
    odd = {"at": 1003.5, "cores": "two", "processes": ["app"], "mock": 7, "ports": None}
    text = "".join(json.dumps(odd | {"at": 1000 + n}) + "\n" for n in range(9))
    (tmp_path / "samples.jsonl").write_text(text, encoding="utf-8")
    found = records.read(write(tmp_path, lines()))
    (point,) = (p for p in points(found.stages, found.samples) if p.request == "all")
    assert point.resources == {"generator_cpu": 0.2}


def test_an_empty_file_of_samples_is_named(tmp_path):
    (tmp_path / "samples.jsonl").touch()
    problems = records.read(write(tmp_path, lines())).problems
    assert problems == [
        "samples.jsonl holds no sample: what the processes and the mock did is not known."
    ]


def test_a_line_that_is_nested_too_deep_is_left_out_and_named(tmp_path):
    deep = '{"type": "problem", "text": ' + "[" * 100_000
    folder = write(tmp_path, [*lines(), deep])
    (folder / "samples.jsonl").write_text(deep, encoding="utf-8")
    problems = records.read(folder).problems
    assert f"slices.jsonl: line {len(lines()) + 1} cannot be read" in " ".join(problems)
    assert "samples.jsonl: line 1 cannot be read" in " ".join(problems)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        *(("stage", field, value) for field in ("settle", "measure") for value in (1e9, 1e308, -1)),
        ("stage", "level", 0),
        ("done", "reports", 10**9),
        ("done", "cpu", 1e308),
    ],
)
def test_a_message_with_a_number_that_no_run_has_is_left_out_and_named(
    tmp_path, kind, field, value
):
    spoilt = [
        json.dumps(line | {field: value}) if line["type"] == kind else json.dumps(line)
        for line in map(json.loads, lines())
    ]
    record = records.read(write(tmp_path, spoilt))
    assert "cannot be read" in " ".join(record.problems)
    points(record.stages, record.samples)


def test_a_sample_with_a_number_that_no_machine_has_is_left_out_and_named(tmp_path):
    folder = write(tmp_path, lines())
    samples = [
        {"type": "sample", "at": at, "stolen": [value]}
        for at, value in ((1.0, 0.5), (1.0, 1e308), (10**400, 0.5))
    ]
    (folder / "samples.jsonl").write_text(
        "".join(f"{json.dumps(one)}\n" for one in samples), encoding="utf-8"
    )
    record = records.read(folder)
    assert "samples.jsonl: 2 lines cannot be read, the first is line 2." in record.problems
    assert record.samples == samples[:1]
