"""What the live page is made of: the report's own charts and sections, and nobody's markup."""

import json
import re
from html.parser import HTMLParser

import pytest
import vl_convert

from loadtests.dashboard import pages
from loadtests.plans.fields import name_of_deployment
from loadtests.report import page
from loadtests.report.charts import curves, figures, palette
from loadtests.report.outputs import html
from loadtests.report.text.numbers import MISSING
from loadtests.results import QUANTILES, Errors, Estimate, Run, UpstreamChange
from tests.support import example_runs

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&{{token}}"


def changed():
    """The example with changes of the upstream, one of them after the last stage."""
    made = [
        UpstreamChange(at=3.25, text="latency 50ms → 1s", deployment="async-httpx", level=20),
        UpstreamChange(at=9.0, text="the outage is over"),
    ]
    return example_runs.explained().model_copy(update={"changes": made})


RUNS = {
    "example": example_runs.example,
    "explained": example_runs.explained,
    "changed": changed,
    "open": example_runs.open_model,
    "single": example_runs.single_level,
    "searched": example_runs.searched,
    "many": lambda: example_runs.many(20),
    "empty": lambda: example_runs.example().model_copy(update={"points": [], "knees": {}}),
}


@pytest.fixture(params=RUNS)
def run(request):
    return RUNS[request.param]()


def specification(text):
    """The chart, and the look that it brings along."""
    chart = json.loads(text)
    return chart, chart.pop("config")


# The same charts and sections as a report has.


@pytest.mark.parametrize("box", page.SIZES)
def test_a_live_chart_and_that_of_a_report_are_of_one_definition(run, box):
    live = pages.drawn(run)
    lines = curves.of_run(run)
    for name, draw in {"p95": figures.p95, "throughput": figures.throughput}.items():
        chart, look = specification(live[f"{name}-{box}"])
        assert chart == draw(lines, size=page.SIZES[box])
        assert look == palette.config(palette.INHERITED)


def pictures(text):
    """The SVGs in it, without what tells the clips of one from those of another."""
    found = re.findall(r"<svg [^>]*class=\"marks\".*?</svg>", text, re.DOTALL)
    return [re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"[\w-]*clip\d+", "clip", svg)) for svg in found]


def drawn(text):
    """The text as a browser would draw it."""
    return vl_convert.vegalite_to_svg(text, allowed_base_urls=[])


@pytest.mark.usefixtures("pictures")
def test_the_page_draws_the_picture_of_the_report():
    live = pages.drawn(changed())
    names = ("p95-wide", "p95-narrow", "throughput-wide", "throughput-narrow")
    shown = pictures(html.render(changed()))
    assert [pictures(drawn(live[name])) for name in names] == [[picture] for picture in shown]


def test_there_is_a_chart_for_each_quantile_and_for_throughput_in_each_size(run):
    expected = {f"{name}-{box}" for name in (*QUANTILES, "throughput") for box in page.SIZES}
    for live in (pages.drawn(run), pages.drawn(None), pages.drawn(run, run)):
        assert set(live) == expected == set(pages.CHARTS)


def test_the_sections_are_those_of_the_report_byte_for_byte(run, monkeypatch):
    monkeypatch.setattr(page, "figures", lambda curves: [])  # in no section, and slow to draw
    text = html.render(run)
    sections = pages.sections(run)
    assert set(sections) == {*pages.SECTIONS, "legend"}
    for name in pages.SECTIONS:
        assert sections[name] in text


def test_every_section_has_its_turn():
    run = changed()
    said = {name: text for name, text in pages.sections(run).items() if text.strip()}
    assert set(said) == {*pages.SECTIONS, "legend"}
    assert "latency 50ms → 1s" in said["changes"]
    quiet = pages.sections(example_runs.single_level())
    assert {name for name, text in quiet.items() if not text.strip()} == {
        "changes",
        "why",
        "slos",
        "errors",
    }


def test_the_page_offers_every_quantile_and_waits_for_its_token():
    text = pages.template()
    for name in QUANTILES:
        assert f'value="{name}"' in text
    assert text.count("{{token}}") == 1


# Two runs over each other.


def dashes(text):
    """How many curves are drawn in which way; an SVG has a path for each of them."""
    svg = drawn(text)
    lines = re.findall(r'stroke-width="2"[^>]*?stroke-dasharray="([\d,]+)"', svg)
    lines += re.findall(r'stroke-dasharray="([\d,]+)"[^>]*?stroke-width="2"', svg)
    return {dash: lines.count(dash) for dash in set(lines)}


@pytest.mark.parametrize("name", pages.CHARTS)
def test_the_current_run_is_solid_and_the_earlier_one_dashed(name):
    now, then = example_runs.example(), example_runs.single_level()
    then = then.model_copy(update={"points": example_runs.queueing("mine", 12.0)})
    assert dashes(pages.drawn(now)[name]) == {"1,0": 3}
    assert dashes(pages.drawn(now, then)[name]) == {"1,0": 3, "5,4": 1}
    assert dashes(pages.drawn(then, now)[name]) == {"1,0": 1, "5,4": 3}


def test_a_run_that_has_no_points_yet_lies_under_one_that_is_dashed():
    began = example_runs.example().model_copy(update={"points": [], "knees": {}})
    live = pages.drawn(began, example_runs.example())
    assert dashes(live["p95-wide"]) == {"5,4": 3}
    assert "<b>Dashed</b>" in pages.legend(began, example_runs.example())


def test_without_a_current_run_the_earlier_one_is_drawn_alone():
    run = example_runs.example()
    assert pages.drawn(None, run) == pages.drawn(run)
    legend = pages.legend(None, run)
    assert "Dashed" not in legend
    assert "the run example of 2026-11-20 13:15:00 UTC" in legend


def test_the_legend_names_each_deployment_once_and_says_which_run_is_dashed():
    now, then = example_runs.example(), example_runs.single_level()
    legend = Page(pages.legend(now, then))
    assert legend.items == ["blocking-requests", "async-httpx", "async-aiohttp", "mine"]
    again = Page(pages.legend(now, now))
    assert again.items == ["blocking-requests", "async-httpx", "async-aiohttp"]
    assert "Dashed" in pages.legend(now, then)
    assert "Dashed" not in pages.legend(now)


def test_marks_and_tooltips_of_two_runs_name_their_run():
    run = example_runs.example()
    text = pages.drawn(run, run)["p95-wide"]
    assert '"text": "knee 39.6 now"' in text
    assert '"text": "knee 39.6 then"' in text
    assert text.count("run: now") == text.count("run: then") > 10
    assert "run: now" not in pages.drawn(run)["p95-wide"]


def test_the_points_of_the_earlier_run_stand_in_a_table():
    over = Page(pages.table(example_runs.single_level()))
    assert over.count("table") == 1
    assert "mine" in over.texts


# For Locust's own table.


def test_each_point_is_a_row_in_the_order_of_the_plan():
    run = example_runs.example()
    rows = pages.rows(run)
    assert [(row["deployment"], row["level"]) for row in rows] == [
        (name, level) for name in run.deployments for level in example_runs.LEVELS
    ]
    assert json.loads(json.dumps(rows)) == rows


def test_times_are_in_milliseconds_errors_in_percent_missing_values_dashes():
    run = example_runs.example()
    by_place = {(row["deployment"], row["level"]): row for row in pages.rows(run)}
    assert by_place["async-httpx", 160] == {
        "deployment": "async-httpx",
        "level": 160,
        "throughput": 121.0,
        "p50": 981.0,
        "p95": 2310.0,
        "p99": 3020.0,
        "errors": 7.63,
        "state": MISSING,
    }
    assert by_place["async-httpx", 1]["p99"] == MISSING
    invalid = by_place["async-httpx", 80]["state"]
    assert invalid == "invalid: the generator was the bottleneck: 96 % of its core"


def test_rows_cover_all_requests_and_show_their_state():
    run = example_runs.moving(example_runs.single_level(), "mine", {10: "drifting"})
    part = run.points[0].model_copy(update={"request": "/pay"})
    (row,) = pages.rows(run.model_copy(update={"points": [*run.points, part]}))
    assert row["state"] == "drifting"


def test_a_time_keeps_four_digits():
    times = {"p50": Estimate(value=0.00123456), "p95": Estimate(value=12.3456), "p99": None}
    point = example_runs.single_level().points[0].model_copy(update={"response_time": times})
    (row,) = pages.rows(example_runs.single_level().model_copy(update={"points": [point]}))
    assert (row["p50"], row["p95"], row["p99"]) == (1.235, 12350.0, MISSING)


# What comes from users stays text.


class Page(HTMLParser):
    """What a browser would see in a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.items: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if text := " ".join(data.split()):
            self.texts.append(text)
            if "li" in {tag for tag, _ in self.tags[-3:]}:
                self.items.append(text)

    def count(self, tag):
        return sum(found == tag for found, _ in self.tags)

    def is_harmless(self):
        return not {"img", "script", "iframe", "link", "style"} & {
            tag for tag, _ in self.tags
        } and (not any(name.startswith("on") for _, attributes in self.tags for name in attributes))


WORDS = {"format", "status", "model", "steady", "resource", "beyond", "source", "text", "limit"}
"""Where `results` allows only its own words, or what can be parsed."""
NUMBERS = {"phases", "resources", "response_time", "service_time", "slow_time"}


def evil(value, key=""):
    """The run with markup in each text and name that a run may hold."""
    if isinstance(value, dict):
        named = key in ("deployments", "knees", "ceilings", "kinds")
        return {
            name + EVIL if named else name: part if name in NUMBERS else evil(part, name)
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [evil(part, key) for part in value]
    if isinstance(value, str) and key not in WORDS and value != "all":
        return value + EVIL
    return value


def hostile():
    run = changed()
    failing = run.points[0].model_copy(
        update={"errors": Errors(rate=0.1, kinds={"boom": 3}), "problems": ["odd"], "valid": False}
    )
    parts = [failing.model_copy(update={"request": name}) for name in ("/a", "/b")]
    made = [one.model_copy(update={"text": one.text + EVIL}) for one in run.changes]
    run = run.model_copy(update={"points": [*run.points[1:], failing, *parts], "changes": made})
    return Run.model_validate(evil(run.model_dump(mode="json")))


def test_markup_in_the_names_and_texts_of_a_run_stays_text():
    run = hostile()
    other = example_runs.example()
    pieces = {
        **pages.sections(run),
        "over": pages.table(run),
        "now and then": pages.legend(run, run),
        "only then": pages.legend(None, run),
        "beyond": pages.legend(other, run),
    }
    assert len(pieces) == len(pages.SECTIONS) + 5
    for name, text in pieces.items():
        assert EVIL not in text
        assert "&lt;img src=x onerror=" in text, name
        assert Page(text).is_harmless(), name


def test_markup_in_a_chart_stays_text():
    run = hostile()
    for over in (None, run, example_runs.example()):
        for name, text in pages.drawn(run, over).items():
            svg = drawn(text)
            assert "onerror=" in svg, name
            assert Page(svg).is_harmless(), name


def test_markup_in_rows_is_data():
    rows = pages.rows(hostile())
    assert all(row["deployment"].endswith(EVIL) for row in rows)
    assert json.loads(json.dumps(rows)) == rows


def test_a_plan_has_no_deployment_of_such_a_name():
    with pytest.raises(ValueError, match="is not a name for a deployment"):
        name_of_deployment(EVIL)
