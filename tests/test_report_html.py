import json
import re
import tomllib
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from loadtests.report import html
from tests import example_runs
from tests.browser import needs_browser, opened

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a browser would load, and the page's text, headings and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))

    def count(self, tag):
        return sum(found == tag for found, _ in self.tags)


@pytest.fixture(scope="module")
def text():
    return html.render(example_runs.example())


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_loaded_from_anywhere(page, text):
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "srcset", "xlink:href", "action"):
            assert not (value := attributes.get(name)) or value.startswith("#"), (tag, value)
    styles = " ".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")  # the browser, too, refuses to


def test_the_libraries_are_inside_once(text):
    assert text.count("window.vegaEmbed") == 1
    assert len(text) < 2_000_000


def test_every_point_stands_in_the_table(page):
    run = example_runs.example()
    assert all(f"{point.requests:,}" in page.texts for point in run.points)
    assert "2.31 ±0.09 s" in page.texts
    assert "the generator was the bottleneck: 96 % of its core" in page.texts


def test_headings_are_nested_and_tables_have_headers(page):
    depths = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert depths.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(depths))
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    regions = [a for t, a in page.tags if a.get("class") == "scroll"]
    assert len(regions) == page.count("table")
    assert all(region["tabindex"] == "0" for region in regions)


def test_links_inside_the_page_lead_somewhere(page):
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    targets = {a["href"] for t, a in page.tags if t == "a"}
    assert {target.removeprefix("#") for target in targets} <= set(identifiers)
    for _, attributes in page.tags:
        assert (attributes.get("aria-labelledby") or "content") in identifiers


def test_the_plan_is_toml_that_reads_back(text):
    plan = re.findall(r"<pre[^>]*>(.*?)</pre>", text, re.DOTALL)[1]
    assert tomllib.loads(unescape(plan)) == example_runs.example().plan


def test_the_charts_hold_the_same_points(text):
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert [figure["id"] for figure in data["figures"]] == ["p95", "throughput"]


def test_names_from_users_stay_text():
    run = example_runs.renamed(example_runs.example(), "async-httpx", HOSTILE)
    run = run.model_copy(
        update={"name": HOSTILE, "problems": [HOSTILE], "environment": {"x": HOSTILE}}
    )
    page = Page(html.render(run))
    ours = Page(html.render(example_runs.example()))
    assert page.count("script") == ours.count("script")
    assert page.count("img") == 0


def test_requests_have_tables_of_their_own_where_there_are_several():
    run = example_runs.example()
    extra = [
        p.model_copy(update={"request": request}) for p in run.points for request in ("/a", "/b")
    ]
    page = Page(html.render(run.model_copy(update={"points": [*run.points, *extra]})))
    assert {"All requests together", "/a", "/b"} <= set(page.texts)


def test_a_search_has_a_section_with_the_levels_that_it_tried():
    page = Page(html.render(example_runs.searched()))
    assert {"Capacity", "78 (75–82)", "at least 160"} <= set(page.texts)  # noqa: RUF001
    assert "1, 5, 10, 20, 40, 80 (not valid), 160" in page.texts


def test_the_open_model_shows_both_clocks_and_says_which_one_counts():
    text = html.render(example_runs.open_model())
    page = Page(text)
    assert {"Rate", "Service p95", "State", "unstable", "over-saturated"} <= set(page.texts)
    assert "Objectives use the response time" in text
    assert "Users wait for each answer" not in text


def test_a_state_that_is_not_steady_is_told_beside_the_point():
    run = example_runs.moving(example_runs.example(), "async-aiohttp", {40: "drifting"})
    texts = Page(html.render(run)).texts
    assert "drifting" in texts
    assert "drifting: it was still moving when the window ended" in texts


def test_a_run_without_points_still_has_a_page():
    empty = example_runs.example().model_copy(
        update={"points": [], "knees": {}, "slos": [], "plan": {}, "status": "interrupted"}
    )
    assert "Interrupted." in Page(html.render(empty)).texts


@needs_browser
def test_a_browser_draws_both_charts_and_complains_of_nothing(text, tmp_path):
    document, complaints = opened(text, tmp_path)
    assert document.count('class="chart vega-embed') == 2
    assert complaints == []
