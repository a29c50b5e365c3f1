"""The degradation page in a real browser, from Locust's form to a finished curve."""

import re

import pytest
from playwright.sync_api import expect

from tests.conftest import a_free_port
from tests.support.brownout_runs import PICTURES, PLAN
from tests.support.browser import browser, needs_browser, watched
from tests.support.webui import LEVELS, LONG, ui

__all__ = ["browser"]

pytestmark = [needs_browser, pytest.mark.processes]
SECONDS = 300_000  # milliseconds that a run may take
MARKS = '[role="graphics-symbol"][aria-label]'  # what the pointer and a screen reader meet


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Nothing was played yet."""
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    with ui(folder, a_free_port(), **PICTURES) as pages:
        yield pages


@pytest.fixture(scope="module")
def pages(fresh):
    assert fresh.start(**LEVELS)["success"]  # the earlier run
    fresh.until("complete")
    return fresh


@pytest.fixture
def rested(pages):
    """Nothing runs, before and after."""
    yield pages
    if pages.now()["state"] == "running":
        pages.stop()
    pages.until("complete", "interrupted")


def at(page, pages, fragment=""):
    page.goto(f"{pages.url}/degradation/{fragment}")
    return page


def drawn(page, chart, points):
    """Waits until it draws this many points, of all deployments."""
    page.wait_for_function(
        """([chart, marks, points]) => [...document.querySelectorAll(`#${chart} ${marks}`)].filter(
            (mark) => /concurrent users: .*requests: /s.test(mark.getAttribute("aria-label"))
        ).length === points""",
        arg=[chart, MARKS, points],
    )


def tabbed(page):
    """The names of what the Tab key reaches."""
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(() => { const one = document.activeElement; return one.id || one.name "
                "|| one.getAttribute('aria-label') || one.textContent.trim(); })()"
            )
        )
    return reached


def test_before_the_first_test_the_page_is_ready(browser, fresh):
    with watched(browser) as (page, complaints):
        at(page, fresh)
        expect(page.locator("#state")).to_have_text("ready")
        assert complaints == []


# These two look at the run that the fixture made, of both deployments: they come before the others.
def test_phases_are_shown_of_the_deployment_that_is_chosen(browser, pages):
    with watched(browser) as (page, complaints):
        at(page, pages)
        for name in ("async", "threads"):
            page.get_by_label("Why it degrades, of").select_option(name)
            expect(page.locator(".cause:visible h3").first).to_have_text(name)
            expect(page.locator(".cause[data-of]:visible")).to_have_count(1)
        assert "why-of" in tabbed(page)
        assert complaints == []


def test_each_chart_has_a_title_and_a_link_to_its_table(browser, pages):
    with watched(browser) as (page, complaints):
        at(page, pages)
        expect(page.locator("#times svg")).to_be_visible()
        figures = page.locator("figure")
        assert figures.count() >= 4  # two curves, and the phases of mean and p95
        for figure in figures.all():
            table = figure.get_attribute("aria-describedby")
            assert page.locator(f"#{table}").count() == 1
            assert "table" in figure.locator("[role=img]").first.get_attribute("aria-label")
        assert complaints == []


def test_from_the_form_to_a_finished_curve(browser, rested):
    with watched(browser) as (page, complaints):
        page.goto(rested.url)
        page.get_by_role("button", name="New").click()  # a run was before
        page.get_by_text("Custom parameters").click()
        assert page.locator("input[name=upstream]").input_value() == "20ms"
        page.locator("input[name=levels]").fill("3, 1")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_text("1 follows 3")).to_be_visible()
        page.locator("input[name=levels]").fill("1, 2, 4")
        page.locator("input[name=measure]").fill("1s")
        page.locator("input[name=settle]").fill("250ms")
        page.locator("select[name=deployments]").select_option(["async"])
        page.get_by_role("button", name="Start").click()
        page.get_by_role("tab", name="Degradation").click()
        expect(page.get_by_role("cell", name="async").first).to_be_visible(timeout=SECONDS)

        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Degradation curves").evaluate(
                "link => { link.target = '_blank'; link.click(); }"
            )
        own = opened.value
        expect(own.locator("#state")).to_have_text("running")
        expect(own.locator("#stage")).to_contain_text("of 3")
        expect(own.locator("#times svg")).to_be_visible(timeout=SECONDS)
        expect(own.locator("#state")).to_have_text("complete", timeout=SECONDS)
        expect(own.locator("#points tbody th[scope=row]")).to_have_count(3)
        expect(own.locator("#progress")).to_be_hidden()
        drawn(own, "throughput", 3)
        assert own.locator("[data-section=findings]").inner_text().count("async")
        own.reload()
        expect(own.locator("#points tbody th[scope=row]")).to_have_count(3)
        expect(own.locator("#times svg")).to_be_visible()
        assert complaints == []
    assert {point.level for point in rested.run().points} == {1, 2, 4}


def test_the_quantile_and_an_earlier_run_are_chosen_and_stay_after_a_reload(browser, rested):
    with watched(browser) as (page, complaints):
        at(page, rested)
        page.locator("#quantile label", has_text="p50").click()
        expect(page.locator("#times-title")).to_have_text("p50 response time")
        expect(page.locator("#times svg")).to_be_visible()
        alone = page.locator(f"#times {MARKS}").count()
        earlier = page.locator("#over option").nth(1).get_attribute("value")
        page.locator("#over").select_option(earlier)
        expect(page.locator("#over-section")).to_be_visible()
        expect(page.locator("[data-section=legend]")).to_contain_text("Dashed")
        expect(page.locator(f"#times {MARKS}")).not_to_have_count(alone)
        assert page.locator("#over-section tbody th[scope=row]").count() > 0
        page.reload()
        expect(page.locator("#over")).to_have_value(earlier)
        expect(page.locator("#times-title")).to_have_text("p50 response time")
        page.locator(f"button[data-run='{earlier}']").click()
        expect(page.locator("#over-section")).to_be_hidden()
        expect(page.locator("[data-section=legend]")).not_to_contain_text("Dashed")
        assert complaints == []


def test_each_earlier_run_has_its_files_to_open_and_to_download(browser, rested):
    with watched(browser) as (page, complaints):
        at(page, rested)
        line = page.locator("#runs tbody tr").first
        for title, kind in (
            ("Report", "html"),
            ("CSV", "csv"),
            ("PNG", "png"),
            ("run.json", "json"),
        ):
            address = line.get_by_role("link", name=title, exact=True).get_attribute("href")
            answer = page.request.get(f"{rested.url}/degradation/{address}")
            assert kind in answer.headers["content-type"], title
            load = line.get_by_role("link", name=f"Download {title}").get_attribute("href")
            kept = page.request.get(load)
            disposition = kept.headers["content-disposition"]
            assert re.fullmatch(rf"attachment; filename=\S+{kind}", disposition)
            assert kept.body() == answer.body()
        line.get_by_role("link", name="Report", exact=True).click()
        expect(page.get_by_role("heading", name="How it degrades")).to_be_visible()
        assert complaints == []


def test_a_run_that_is_stopped_shows_what_it_has_and_the_next_one_its_own(browser, rested):
    with watched(browser) as (page, complaints):
        at(page, rested)
        values = LEVELS | {"levels": "1, 2, 3, 4, 5, 6", "deployments": "async"}
        assert rested.start(**values)["success"]
        expect(page.locator("#points tbody th[scope=row]")).to_have_count(1, timeout=SECONDS)
        expect(page.locator("#left")).to_contain_text("left")
        rested.stop()
        expect(page.locator("#state")).to_have_text("ended early", timeout=SECONDS)
        stopped = page.locator("#points tbody th[scope=row]").count()
        assert 1 <= stopped < 6
        assert rested.start(**LEVELS | {"deployments": "threads"})["success"]
        expect(page.locator("#state")).to_have_text("running", timeout=SECONDS)
        expect(page.locator("#state")).to_have_text("complete", timeout=SECONDS)
        expect(page.locator("#points")).not_to_contain_text("async")
        expect(page.locator("#points tbody th[scope=row]")).to_have_count(2)
        assert complaints == []


def test_the_upstream_is_changed_while_a_test_runs_and_every_change_is_marked(browser, rested):
    with watched(browser) as (page, complaints):
        at(page, rested)
        expect(page.get_by_role("button", name="Apply")).to_be_disabled()
        assert rested.start(**LONG | {"levels": "1", "measure": "8s"})["success"]
        expect(page.get_by_label("Latency")).to_be_enabled(timeout=SECONDS)
        rested.measuring()
        page.get_by_label("Latency").fill("40 parsecs")
        page.keyboard.press("Enter")
        expect(page.locator("#upstream-said")).to_contain_text("latency: ")
        expect(page.locator("#upstream-said")).to_have_class(re.compile("bad"))
        page.get_by_label("Latency").fill("40ms")
        page.get_by_label("Errors, status = probability").fill("503 = 0.5")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#upstream-said")).to_contain_text("Done")
        expect(page.locator("#upstream-note")).to_contain_text("It is not the plan")
        page.get_by_role("button", name="Back to the plan").click()
        expect(page.get_by_label("Latency")).to_have_value("20ms")
        expect(page.get_by_label("Errors, status = probability")).to_have_value("")
        page.get_by_role("button", name="Outage of 10 s").click()
        expect(page.locator("#upstream-said")).to_contain_text("outage goes on")
        expect(page.get_by_role("button", name="Apply")).to_be_disabled()
        expect(page.locator("#state")).not_to_have_text("running", timeout=SECONDS)
        expect(page.locator("[data-section=changes] tbody tr")).not_to_have_count(0)
        expect(page.locator("#times svg")).to_be_visible()
        expect(page.locator("#times text", has_text=re.compile("^1, 2, 3$"))).to_be_visible()
        assert complaints == []
    run = rested.run()
    texts = [change.text for change in run.changes[:3]]
    assert texts[0].startswith("latency 20ms → 40ms; errors none → 503 = 0.5")
    assert "latency 40ms → 20ms" in texts[1]
    assert texts[2] == "outage: every answer is 503"
    changed = next(p for p in run.points if p.level == 1)
    assert not changed.valid
    assert "the upstream was changed" in "; ".join(changed.problems)
    assert changed.errors.kinds["503"] > 0
    assert rested.now()["upstream"]["latency"] == "20ms"


def test_the_keyboard_alone_reaches_and_works_everything(browser, rested):
    with watched(browser) as (page, complaints):
        at(page, rested)
        expect(page.locator("#times svg")).to_be_visible()
        reached = tabbed(page)
        wanted = {"quantile", "over", "Report", "CSV", "PNG", "run.json"}
        assert wanted <= reached
        assert any(name.startswith("Lay ") for name in reached)
        assert any(name.startswith("Download run.json") for name in reached)
        assert "The same numbers as a table" in reached
        assert any("Points" in name for name in reached)  # tables that scroll

        page.locator("#quantile input:checked").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#times-title")).to_have_text("p99 response time")
        page.locator("button[data-run]").last.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#over-section")).to_be_visible()
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_overflows_on_a_desktop_or_a_phone(browser, rested, width, scheme):
    with watched(browser, width=width, scheme=scheme) as (page, complaints):
        earlier = rested.client.get("/degradation/runs").json()[-1]["id"]
        at(page, rested, f"#over={earlier}")
        expect(page.locator("#times svg")).to_be_visible()
        expect(page.locator("#over-section")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        size = page.locator("#times svg").bounding_box()
        assert size["width"] > 0.7 * min(width, 600)
        assert complaints == []


# The last: it ends what the tests before have used.
def test_a_page_that_is_left_open_says_that_brownout_is_gone(browser, pages):
    with watched(browser) as (page, _):
        at(page, pages)
        assert pages.start(**LONG)["success"]
        expect(page.locator("#state")).to_have_text("running", timeout=SECONDS)
        pages.invocation.interrupt()
        expect(page.locator("#state")).to_have_text("no answer", timeout=SECONDS)
        assert pages.invocation.end() == 0
