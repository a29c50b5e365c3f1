"""The run on GitHub's page of a workflow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.report.outputs import github_summary, markdown
from loadtests.report.outputs.github_summary import CUT, LIMIT, VARIABLE, append, cut
from tests.support import example_runs

RUN = example_runs.single_level()


@pytest.fixture
def page(tmp_path):
    return tmp_path / "summary"


def test_the_page_has_the_summary_without_the_picture(page):
    assert append(RUN, {VARIABLE: str(page)}) == ""
    shown = page.read_text(encoding="utf-8")
    assert shown == markdown.render(RUN).replace(f"{markdown.PICTURE}\n\n", "")
    assert "![" not in shown


def test_text_of_other_steps_stays_above_the_heading(page):
    page.write_text("| others | wrote |", encoding="utf-8")
    assert append(RUN, {VARIABLE: str(page)}) == append(RUN, {VARIABLE: str(page)}) == ""
    text = markdown.render(RUN, picture=False)
    assert page.read_text(encoding="utf-8") == f"| others | wrote |\n{text}\n{text}"


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_nothing_is_written_where_there_is_no_page(environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert append(RUN, environment) == ""
    assert [*tmp_path.iterdir()] == []


def test_an_unwritable_page_is_reported_in_one_line(tmp_path):
    nowhere = tmp_path / "none" / "summary"
    assert append(RUN, {VARIABLE: str(nowhere)}) == (
        f"{VARIABLE}: {nowhere} cannot be written: No such file or directory."
    )
    assert append(RUN, {VARIABLE: str(tmp_path)}).endswith("cannot be written: Is a directory.")


def test_a_page_is_never_longer_than_github_takes(page):
    page.write_bytes(b"x" * (LIMIT - 400))
    assert append(RUN, {VARIABLE: str(page)}) == ""
    assert page.stat().st_size <= LIMIT
    assert page.read_text(encoding="utf-8").endswith(CUT)
    full = page.read_bytes()
    assert append(RUN, {VARIABLE: str(page)}).endswith("is full: GitHub takes 1 MiB of a step.")
    assert page.read_bytes() == full


def test_many_points_are_cut_after_a_whole_row(page, monkeypatch):
    monkeypatch.setattr(github_summary, "LIMIT", 4000)
    assert append(example_runs.many(12), {VARIABLE: str(page)}) == ""
    text = page.read_text(encoding="utf-8").removesuffix(CUT)
    assert text.endswith(" |\n")
    assert markdown.render(example_runs.many(12), picture=False).startswith(text)


@given(text=st.text(st.sampled_from("ab\n\u00e9\u2014"), max_size=400), room=st.integers(-5, 400))
def test_a_cut_page_fits_and_says_so(text, room):
    found = cut(text, room)
    assert len(found.encode()) <= max(room, 0)
    if found != text:
        assert found == "" or found.endswith(CUT)
        assert text.startswith(found.removesuffix(CUT))
