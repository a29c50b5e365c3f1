import pytest

from loadtests import report, results
from tests import example_runs


def test_a_run_is_written_as_data_page_summary_and_pictures(tmp_path):
    run = example_runs.single_level()
    written = report.write(run, tmp_path)
    pictures = {"curves.svg", "curves.png"}
    names = {"run.json", "report.html", "summary.md", "junit.xml", "points.csv"} | pictures
    assert {path.name for path in written} == names
    assert {path.name for path in tmp_path.iterdir()} == names
    assert results.read(tmp_path) == run


def test_a_file_that_cannot_be_put_in_place_leaves_the_old_one_and_no_draft(tmp_path):
    taken = tmp_path / "run.json"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"run\.json"):
        report.replace(taken, b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
