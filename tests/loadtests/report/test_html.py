import re
import tomllib
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from loadtests.report.outputs import html
from tests.support import example_runs
from tests.support.browser import needs_browser, opened

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
def text(pictures):
    return html.render(example_runs.example())


@pytest.fixture(scope="module")
def explained(pictures):
    return html.render(example_runs.explained())


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


def test_the_page_is_small_and_evaluates_nothing(page, text):
    assert len(text) < 300_000
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert "unsafe-eval" not in policy


def test_every_point_is_in_the_table(page):
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


def test_the_charts_have_a_tooltip_for_every_point(page):
    run = example_runs.example()
    told = [a["aria-label"] for _, a in page.tags if a.get("role") == "graphics-symbol"]
    told = [text.splitlines() for text in told if text]
    for point in run.points:
        about = [lines for lines in told if f"concurrent users: {point.level}" in lines]
        about = [lines for lines in about if lines[0] == point.deployment]
        assert len(about) == 4  # two charts, for a desktop and for a phone
        assert all(f"requests: {point.requests:,}" in lines for lines in about)


@pytest.mark.usefixtures("pictures")
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


def test_the_open_model_shows_response_and_service_time_and_which_decides():
    text = html.render(example_runs.open_model())
    page = Page(text)
    assert {"Rate", "Service p95", "State", "unstable", "over-saturated"} <= set(page.texts)
    assert "Objectives use the response time" in text
    assert "Users wait for each answer" not in text


def test_a_state_that_is_not_steady_is_named_at_the_point():
    run = example_runs.moving(example_runs.example(), "async-aiohttp", {40: "drifting"})
    texts = Page(html.render(run)).texts
    assert "drifting" in texts
    assert "drifting: it was still moving when the window ended" in texts


def test_a_run_without_points_still_has_a_page():
    empty = example_runs.example().model_copy(
        update={"points": [], "knees": {}, "slos": [], "plan": {}, "status": "interrupted"}
    )
    assert "Interrupted." in Page(html.render(empty)).texts


def test_the_phases_of_a_bar_add_up_and_grow_with_the_time(explained):
    bars = re.findall(r'<div class="stack" style="height: ([\d.]+)%">(.*?)</div>', explained)
    assert len(bars) == 2 * 2 * 7  # mean and p95 of two deployments; the third tells nothing
    for height, parts in bars:
        assert 0 < float(height) < 100
        shares = [float(share) for share in re.findall(r"flex: ([\d.]+)", parts)]
        assert sum(shares) == pytest.approx(100, abs=0.01)


def test_the_phases_are_in_tables_too(explained):
    page = Page(explained)
    assert page.texts.count("The phases as numbers") == 2
    assert "Waiting for a thread" in page.texts
    assert "Waiting for the loop" in page.texts
    assert "Connecting" not in page.texts  # nobody did


def test_each_limit_leads_to_its_evidence(explained):
    page = Page(explained)
    limits = [a["href"] for t, a in page.tags if t == "a" and a.get("class") == "limit"]
    assert len(limits) == 7
    assert {a["id"] for _, a in page.tags if "id" in a} >= {href[1:] for href in limits}
    assert "39.9 of 40" in page.texts
    assert "By the telemetry of the service." in page.texts
    assert "Judged from outside: the service sent no telemetry." in page.texts


def test_ceilings_are_next_to_measured_values(explained):
    texts = Page(explained).texts
    for text in ("40 threads / 52.0 ms", "769/s", "712/s", "92.6 %", "9,800/s", "7.27 %"):
        assert text in texts


def test_a_run_without_limits_has_no_section_for_them():
    run = example_runs.changed(
        example_runs.example(), lambda point: point.model_copy(update={"limit": None})
    )
    page = Page(html.render(run))
    assert "Why it degrades" not in page.texts
    assert "Limit" not in page.texts


@pytest.mark.processes
@needs_browser
def test_a_mark_shows_its_numbers_in_a_tooltip_without_console_messages(explained, tmp_path):
    point = """<script>
      const over = new PointerEvent("pointerover", {bubbles: true});
      document.querySelector('.chart [aria-label*="requests: "]').dispatchEvent(over);
    </script></body>"""
    document, complaints = opened(explained.replace("</body>", point), tmp_path)
    tip = document[document.index('id="tip"') :].partition("<script>")[0]
    assert "<b>blocking-requests</b>" in tip
    assert "<span>concurrent users </span>1" in tip
    assert complaints == []


def test_the_page_shows_the_verdicts_by_a_baseline_as_the_weaker_ones():
    page = Page(html.render(example_runs.judged()))
    assert "blocking-requests against its baseline" in page.texts
    assert "p95 at 160 users is +20 %." in page.texts
    assert "the baseline is drifting at 160 users" in page.texts
    assert sum(one.startswith("A stored baseline is the weaker") for one in page.texts) == 2
