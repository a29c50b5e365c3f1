"""run.json is what its JSON Schema and docs/formats.md say."""

import json
from pathlib import Path

import jsonschema
import pytest

from loadtests import results
from tests.support import example_runs

SCHEMA = Path(results.__file__).with_name("run.schema.json")
FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_schema_in_the_package_is_that_of_the_model():
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == results.schema()


@pytest.mark.parametrize("make", [example_runs.example, example_runs.explained])
def test_a_run_is_valid_by_its_schema(make):
    jsonschema.validate(json.loads(results.to_json(make())), results.schema())


@pytest.mark.parametrize("model", [results.Run, results.Point, results.Knee, results.Verdict])
def test_each_field_is_described_in_the_docs(model):
    described = FORMATS.read_text(encoding="utf-8")
    assert not [name for name in model.model_fields if f"`{name}`" not in described]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            '"level": 1,',
            '"level": 0,',
            "points.0.level: Input should be greater than or equal to 1",
        ),
        ('"brownout-run/2"', f'"{"b" * 2000}"', "has the format 'bbbb"),
    ],
)
def test_a_run_that_no_version_wrote_is_refused_in_a_short_line(old, new, told, tmp_path):
    text = results.to_json(example_runs.example())
    assert old in text
    (tmp_path / "run.json").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(results.UnreadableRun) as raised:
        results.read(tmp_path)
    assert told in str(raised.value)
    assert len(str(raised.value)) < len(str(tmp_path)) + 200
