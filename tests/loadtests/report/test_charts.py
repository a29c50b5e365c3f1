import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.report.charts import axes, figures
from loadtests.report.charts.curves import of_run
from loadtests.results import Errors, Run
from tests.support import example_runs


def layers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every kind of mark in a chart, however deep."""
    for part in [*spec.get("hconcat", []), *spec.get("layer", [])]:
        yield from layers(part) if "layer" in part else iter([part])


def rows(spec: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """Every row of the chart's data that has the field."""
    found = [row for layer in layers(spec) for row in layer["data"]["values"] if field in row]
    return [row for index, row in enumerate(found) if row not in found[:index]]


def points_of(run: Run, chart: Any) -> list[dict[str, Any]]:
    return rows(chart(of_run(run)), "measured")


def test_every_point_is_drawn_with_its_value_and_interval():
    run = example_runs.example()
    drawn = {
        (row["deployment"], row["level"]): row
        for row in points_of(run, figures.p95)
        if row["value"] is not None
    }
    assert len(drawn) == len(run.points)
    for point in run.points:
        row, estimate = drawn[point.deployment, point.level], point.response_time["p95"]
        assert estimate is not None
        assert (row["value"], row["low"], row["high"]) == (
            estimate.value,
            estimate.low,
            estimate.high,
        )


def test_an_invalid_point_is_on_no_line_and_carries_its_reason():
    run = example_runs.example()
    invalid = [row for row in points_of(run, figures.throughput) if not row["valid"]]
    assert {(row["deployment"], row["level"]) for row in invalid} == {("async-httpx", 80)}
    assert {row["value"] is None for row in invalid} == {True, False}  # the line; the hollow point
    assert all("96 % of its core" in row["problems"] for row in invalid)


def test_a_quantile_that_is_null_is_not_drawn_as_zero():
    run = example_runs.changed(
        example_runs.single_level(),
        lambda point: point.model_copy(update={"response_time": {"p95": None}}),
    )
    assert all(row["value"] is None for row in points_of(run, figures.p95))


def test_knees_in_range_are_marked_and_others_are_not():
    spec = figures.p95(of_run(example_runs.example()))
    marked = {row["deployment"]: row["interval"] for row in rows(spec, "interval")}
    assert marked == {
        "blocking-requests": "39.6 (38.2–41.1)",  # noqa: RUF001
        "async-httpx": "22.4 (20.9–24.6)",  # noqa: RUF001
    }


def lines_of(spec: dict[str, Any]) -> dict[tuple[str, int], list[tuple[float, float]]]:
    lines: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for row in rows(spec, "line"):
        place = lines.setdefault((row["deployment"], row["line"]), [])
        place.append((row["level"], row["value"]))
    return lines


def test_throughput_is_bounded_by_the_two_asymptotes():
    run = example_runs.example()
    lines = lines_of(figures.throughput(of_run(run)))
    rising, most = lines["blocking-requests", 0], lines["blocking-requests", 1]
    assert all(value == pytest.approx(level / example_runs.BASE) for level, value in rising)
    assert {value for _, value in most} == {712.0}
    assert most[0][0] < 39.6 < most[-1][0]
    assert ("async-aiohttp", 1) not in lines  # X_max is not known where no knee was seen


def test_the_asymptotes_of_response_time_meet_at_the_knee():
    lines = lines_of(figures.p95(of_run(example_runs.example())))
    flat, rising = lines["blocking-requests", 0], lines["blocking-requests", 1]
    assert flat[-1] == pytest.approx((39.6, example_runs.BASE))
    assert rising[0] == pytest.approx((39.6, example_runs.BASE))
    (level, value), (next_level, next_value) = rising[-2:]
    assert (next_value - value) / (next_level - level) == pytest.approx(1 / 712)


def test_think_time_flattens_the_rising_asymptote():
    run = example_runs.example()
    knee = run.knees["async-aiohttp"].model_copy(update={"cycle": example_runs.BASE + 1})
    run = run.model_copy(update={"knees": {"async-aiohttp": knee}})
    lines = lines_of(figures.throughput(of_run(run)))
    level, value = lines["async-aiohttp", 0][-1]
    assert value == pytest.approx(level / (example_runs.BASE + 1))


def test_a_state_that_is_not_steady_has_an_outline_of_its_own():
    states = {20: "drifting", 40: "over-saturated", 80: "unsteady"}
    run = example_runs.moving(example_runs.example(), "async-aiohttp", states)
    spec = figures.throughput(of_run(run))
    outlined = {
        layer["mark"]["shape"]: [row["level"] for row in layer["data"]["values"]]
        for layer in layers(spec)
        if layer["mark"].get("size") == 260
    }
    assert outlined == {"circle": [20], "diamond": [40], "square": [80]}
    assert figures.key(of_run(run))[:3] == [
        "in a ring: drifting",
        "in a diamond: over-saturated",
        "in a square: not steady",
    ]


def test_an_unstable_level_has_an_arrow_in_place_of_its_p95():
    spec = figures.p95(of_run(example_runs.open_model()))
    arrows = [
        [row["level"] for row in layer["data"]["values"]]
        for layer in layers(spec)
        if layer["mark"].get("shape") == "arrow"
    ]
    assert arrows == [[800, 1000]]


def test_service_time_is_a_line_of_its_own_only_where_it_differs():
    spec = figures.p95(of_run(example_runs.open_model()))
    dashed = [
        layer["data"]["values"]
        for layer in layers(spec)
        if layer["mark"].get("strokeDash") == [4, 3]
    ]
    assert {row["deployment"] for row in dashed[0]} == {"blocking-requests"}


def test_a_capacity_is_marked_with_its_interval():
    spec = figures.throughput(of_run(example_runs.searched()))
    marked = {row["text"]: row["interval"] for row in rows(spec, "interval")}
    assert marked["capacity 78"] == "78.0 (75.0–82.0)"  # noqa: RUF001
    assert "capacity ≥160" in marked


@pytest.mark.usefixtures("pictures")
def test_the_svg_shows_names_levels_and_units():
    text = " ".join(ElementTree.fromstring(figures.svg(example_runs.example())).itertext())
    for word in ("blocking-requests", "async-httpx", "async-aiohttp", "knee 39.6", "160", "2 s"):
        assert word in text


@pytest.mark.usefixtures("pictures")
def test_the_png_is_twice_as_large_as_the_svg():
    run = example_runs.single_level()
    width = float(ElementTree.fromstring(figures.svg(run)).attrib["width"])
    image = figures.png(run)
    assert image.startswith(b"\x89PNG")
    assert int.from_bytes(image[16:20]) == pytest.approx(2 * width, abs=2)


def ceilings_of(run: Run) -> dict[str, list[str]]:
    """The names of the ceilings that are drawn for each deployment, from the lowest on."""
    named: dict[str, list[str]] = {}
    for row in rows(figures.throughput(of_run(run)), "label"):
        named.setdefault(row["deployment"], []).append(row["text"])
    return named


def test_the_two_lowest_ceilings_within_reach_are_drawn_with_their_resources():
    assert ceilings_of(example_runs.explained()) == {
        "blocking-requests": ["threads", "cpu"],
        "async-httpx": ["cpu", "pool"],
        "async-aiohttp": ["upstream"],
    }


def test_a_ceiling_far_above_the_curves_does_not_flatten_them():
    run = example_runs.explained()
    far = run.ceilings["async-aiohttp"][0].model_copy(update={"throughput": 4000.0})
    run = run.model_copy(update={"ceilings": {"async-aiohttp": [far]}})
    assert ceilings_of(run) == {}
    assert rows(figures.throughput(of_run(run)), "level") == rows(
        figures.throughput(of_run(run.model_copy(update={"ceilings": {}}))), "level"
    )


def test_labels_of_ceilings_that_lie_on_each_other_keep_apart():
    run = example_runs.explained()
    same = [c.model_copy(update={"throughput": 769.0}) for c in run.ceilings["blocking-requests"]]
    run = run.model_copy(update={"ceilings": {"blocking-requests": same, "async-httpx": same}})
    labels = sorted(row["label"] for row in rows(figures.throughput(of_run(run)), "label"))
    assert len(labels) == 4
    assert min(after - before for before, after in pairwise(labels)) > 100  # of 3,000


@pytest.mark.usefixtures("pictures")
def test_twelve_deployments_all_look_different():
    spec = figures.side_by_side(of_run(example_runs.many(12)))
    assert len({row["deployment"] for row in rows(spec, "measured")}) == 12
    text = figures.svg(example_runs.many(12))
    assert all(f"threads[{10 * n}]" in text for n in range(1, 13))


def failing(run: Run) -> Run:
    return example_runs.changed(
        run,
        lambda p: p.model_copy(
            update={
                "response_time": dict.fromkeys(p.response_time),
                "errors": Errors(rate=1.0, kinds={"503": p.requests}),
                "throughput": example_runs.about(0.0),
            }
        ),
    )


def stretched(run: Run) -> Run:
    """Response times from 0.1 ms to 5 minutes."""
    return example_runs.changed(
        run,
        lambda p: p.model_copy(
            update={"response_time": {"p95": example_runs.about(1e-4 * 3e6 ** (p.level / 160))}}
        ),
    )


@pytest.mark.parametrize(
    "run",
    [
        example_runs.example().model_copy(update={"points": [], "knees": {}}),
        failing(example_runs.single_level()),
        stretched(example_runs.example()),
        example_runs.open_model(),
        example_runs.searched(),
    ],
    ids=["no points", "all failed", "huge range", "open model", "search"],
)
@pytest.mark.usefixtures("pictures")
def test_charts_are_drawn_for_unusual_runs(run):
    ElementTree.fromstring(figures.svg(run))


@given(st.floats(1e-6, 600), st.floats(1.01, 1e6))
def test_ticks_rise_and_stay_within_the_axis(low, factor):
    ticks = axes.one_two_five(low, low * factor)
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= low * factor for tick in ticks)
    assert len(ticks) <= 12
    if factor >= 10:
        assert ticks
