import re
from xml.etree import ElementTree

import pytest
from rich.console import Console

from loadtests.analysis.verdicts.stored import NOTE
from loadtests.compare.saved_runs import METRICS, Comparison, compare
from loadtests.report.charts import figures
from loadtests.report.outputs import comparison
from loadtests.results import Point
from tests.support import example_runs
from tests.support.browser import needs_browser, opened


def slower(point: Point) -> Point:
    """A fifth more time for every response."""
    times = {
        name: estimate and example_runs.about(estimate.value * 1.2)
        for name, estimate in point.response_time.items()
    }
    return point.model_copy(update={"response_time": times})


@pytest.fixture(scope="module")
def found() -> Comparison:
    a = example_runs.example()
    b = example_runs.renamed(example_runs.changed(a, slower), "async-aiohttp", "[bold]new")
    return compare(a, b)


@pytest.fixture(scope="module")
def page(found, pictures) -> str:
    return comparison.html(found)


def printed(found: Comparison, width: int = 80) -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(comparison.render(found))
    return capture.get()


def test_the_terminal_shows_a_ratio_with_its_interval_for_every_level(found):
    text = printed(found)
    assert max(map(len, text.splitlines())) <= 80
    rows = [line for line in text.splitlines() if "1.20 (" in line]
    assert len(rows) == 13  # two pairs of seven levels, one of them not valid
    assert "at 80: A is not valid: the generator was the bottleneck" in text


def test_deployments_without_a_counterpart_are_named_as_written(found):
    text = printed(found)
    assert "Only in A: async-aiohttp." in text
    assert "Only in B: [bold]new." in text


def test_differences_between_the_runs_come_first(found):
    other = found.b.model_copy(update={"environment": {"cpu": "another"}})
    text = printed(compare(found.a, other), width=160)
    assert text.index("cpu is") < text.index("B / A")


def test_the_verdicts_come_last_after_their_caveats(found):
    *_, first, second = printed(found, width=200).splitlines()
    assert first.startswith("blocking-requests against its baseline: WORSE. p95 at 160 users is +")
    assert second.startswith("async-httpx against its baseline: WORSE. p95 at 40 users is +20 %")
    text = printed(found, width=200)
    assert NOTE in text
    assert "! async-httpx: 80 users could not decide: not valid in the baseline and " in text
    assert "blocking-requests: changed besides: p50 at 1, 5, 10, 20, 40, 80 and 160 users" in text


def test_differences_of_settings_are_shown_once(found):
    other = found.b.model_copy(update={"environment": {"cpu": "another"}})
    assert printed(compare(found.a, other), width=200).count("cpu is") == 1


def test_only_a_ratio_that_changed_by_more_than_chance_and_the_margin_stands_out(found):
    pair = found.pairs[0]
    assert comparison.changed(pair, 160, "p95")
    assert comparison.changed(pair, 40, "p50")
    assert not comparison.changed(pair, 160, "throughput")
    same = compare(found.a, found.a).pairs[0]
    assert not any(
        comparison.changed(same, level, metric)
        for level in example_runs.LEVELS
        for metric in METRICS
    )


def test_the_page_shows_the_verdicts_and_that_the_method_is_the_weaker_one(found, page):
    assert page.count('<p class="verdict bad">WORSE</p>') == 2
    assert "A stored baseline is the weaker method" in page
    assert "p95 at 40 users is +20 %" in page


@pytest.mark.usefixtures("pictures")
def test_the_curves_of_a_pair_share_a_colour_and_differ_in_their_line(found):
    lines = comparison.overlaid(found)
    by_name = {
        line.name: [other.run for other in lines if other.name == line.name] for line in lines
    }
    assert by_name["async-httpx"] == ["A", "B"]
    assert by_name["async-aiohttp"] == ["A"]
    svg = figures.svg_of(figures.side_by_side(lines))
    ElementTree.fromstring(svg)
    assert 'stroke-dasharray="5,4"' in svg


def test_the_page_overlays_both_runs(page):
    told = re.findall(r'aria-label="([^"]*concurrent users: [^"]*)"', page)
    assert {text.split("run: ")[1] for text in told if "run: " in text} == {"A", "B"}


def test_the_page_shows_the_ratios_and_links_to_them(found, page):
    levels = [level for pair in found.pairs for level in pair.levels]
    ratios = [level.ratios[quantile] for level in levels for quantile in ("p50", "p95", "p99")]
    failing = 2  # at 160 users more fails than p95 and p99 leave out, so these have no end
    assert page.count("<b>1.20 (") == len([ratio for ratio in ratios if ratio]) - failing
    assert 'href="#ratios-title"' in page
    assert 'id="ratios-title"' in page


def test_runs_without_a_common_deployment_are_shown_without_ratios():
    a, b = example_runs.example(), example_runs.many(2)
    page = comparison.html(compare(a, b))
    assert "so there are no ratios" in page
    assert "ratios-title" not in page


@pytest.mark.processes
@needs_browser
def test_the_page_causes_no_message_in_the_browser(page, tmp_path):
    document, complaints = opened(page, tmp_path)
    assert document.count('class="chart ') == 4  # two charts, for a desktop and for a phone
    assert complaints == []


def test_the_page_names_the_limit_of_both_sides():
    a, b = example_runs.explained(), example_runs.explained()
    unlimited = example_runs.changed(b, lambda point: point.model_copy(update={"limit": None}))
    page = comparison.html(compare(a, unlimited))
    assert page.count(">threads → –</td>") == 3  # noqa: RUF001
    assert "A: threads: thread pool: 40 of 40 threads busy" in page
    assert "Limit, A → B" not in comparison.html(compare(unlimited, unlimited))
