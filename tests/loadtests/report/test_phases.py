from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording.phases import NAMES
from loadtests.report.charts import curves, palette, phases
from loadtests.results import Run
from tests.support import example_runs


def panels(run: Run, name: str) -> list[phases.Panel]:
    return phases.panels(next(line for line in curves.of_run(run) if line.name == name))


def test_mean_and_p95_share_a_scale_and_every_bar_is_as_long_as_its_time():
    shown = panels(example_runs.explained(), "blocking-requests")
    assert [panel.name for panel in shown] == ["mean", "p95"]
    assert shown[0].ticks == shown[1].ticks
    lengths = [bar.total / bar.height for panel in shown for bar in panel.bars]
    assert lengths == pytest.approx([lengths[0]] * 14)
    run = example_runs.explained()
    times = [point.response_time["p95"] for point in run.of("blocking-requests")]
    assert [bar.total for bar in shown[1].bars] == pytest.approx([t.value for t in times if t])


def test_a_service_without_telemetry_has_no_bars():
    assert panels(example_runs.explained(), "async-aiohttp") == []


def test_a_level_without_phases_is_a_gap_and_not_zero():
    def alter(point):
        return point.model_copy(update={"phases": {}}) if point.level == 20 else point

    mean, _ = panels(example_runs.changed(example_runs.explained(), alter), "async-httpx")
    assert [len(bar.parts) > 0 for bar in mean.bars] == [
        level != 20 for level in (1, 5, 10, 20, 40, 80, 160)
    ]
    assert "mean: –" in mean.bars[3].told  # noqa: RUF001


def test_parts_keep_the_order_in_which_a_response_passes():
    mean, p95 = panels(example_runs.explained(), "async-httpx")
    for bar in (*mean.bars, *p95.bars):
        places = [phases.ORDER.index(part.name) for part in bar.parts]
        assert places == sorted(places)
    assert phases.used([mean, p95]) == ["pre_app", "upstream", "loop_wait", "rest"]  # own: too thin


def test_the_phase_that_fills_the_last_bar_is_named_next_to_it():
    _, p95 = panels(example_runs.explained(), "async-httpx")
    assert [part.name for part, _ in p95.labels] == ["pre_app", "loop_wait"]
    middles = [middle for _, middle in p95.labels]
    assert middles == sorted(middles)


@given(st.floats(1e-5, 1000))
def test_ticks_are_few_and_within_the_plot(highest):
    ticks = phases._ticks(highest)
    assert 1 <= len(ticks) <= 6
    assert all(0 < tick <= highest * 1.0001 for tick in ticks)


# Viénot, Brettel and Mollon, Digital Video Colourmaps for Checking the Legibility of Displays by
# Dichromats, 1999: what a protanope and a deuteranope see, on linear RGB.
BLIND = {
    "protan": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deutan": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
    "none": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}


def seen(colour: str, kind: str) -> tuple[float, float, float]:
    """OKLab coordinates (Ottosson, 2020) of a colour as such an eye has it."""
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    r, g, b = (sum(f * v for f, v in zip(row, linear, strict=True)) for row in BLIND[kind])
    long = max(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b, 0) ** (1 / 3)
    middle = max(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b, 0) ** (1 / 3)
    short = max(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b, 0) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.mark.parametrize("kind", BLIND)
@pytest.mark.parametrize("theme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_neighbouring_phases_differ_for_all_kinds_of_colour_vision(theme, kind):
    colours = dict(zip(NAMES, theme.phases, strict=True))
    # The upstream is in every bar, and any phase may be the one that is left next to it.
    meeting = [*pairwise(NAMES), *((name, "upstream") for name in NAMES if name != "upstream")]
    for one, other in meeting:
        a, b = seen(colours[one], kind), seen(colours[other], kind)
        apart = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        assert apart > 0.1, (one, other, apart)
