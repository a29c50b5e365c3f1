from rich.console import Console

from loadtests.report.outputs import terminal
from loadtests.results import Knee, Limit, Run
from tests.support import example_runs


def printed(run: Run, width: int, detail: terminal.Detail = "usual") -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(terminal.render(run, detail))
    return capture.get()


def test_eighty_columns_hold_every_name_and_every_p95_with_its_interval():
    text = printed(example_runs.example(), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("blocking-requests  ") >= 7
    assert "80.3 ±1.2 ms" in text


def test_a_wide_console_shows_all_intervals():
    lines = printed(example_runs.example(), 160).splitlines()
    row = next(line for line in lines if line.split()[:2] == ["async-aiohttp", "160"])
    assert row.count("±") == 4


def test_invalid_points_are_marked_with_their_reason():
    text = printed(example_runs.example(), 100)
    assert "async-httpx * " in text
    assert "* async-httpx at 80: the generator was the bottleneck: 96 % of its core" in text


def test_names_are_not_read_as_markup():
    assert "threads[10]" in printed(example_runs.many(2), 80)


def test_a_plain_console_gets_no_escape_codes():
    assert "\x1b" not in printed(example_runs.example(), 80)


def test_slos_and_problems_are_shown():
    text = printed(example_runs.example(), 140)
    assert "unresolved  p99 at 1 user needs 368 successful requests and has 88." in text
    assert "! async-httpx: answered 503 to 41 requests at 160 users" in text


def test_a_knee_that_was_not_reached_is_above_its_bound_and_one_without_bounds_is_not_known():
    run = example_runs.single_level()
    for knee, told in (
        (Knee(level=None, low=20.0), "above 20 "),
        (Knee(level=None), "not known"),
    ):
        assert told in printed(run.model_copy(update={"knees": {"mine": knee}}), 80)


def test_a_state_is_a_mark_in_eighty_columns_and_a_word_where_there_is_room():
    run = example_runs.moving(example_runs.example(), "async-aiohttp", {40: "drifting"})
    narrow, wide = printed(run, 80), printed(run, 160)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "async-aiohttp ~ " in narrow
    assert "~ drifting" in narrow
    rows = [line.split() for line in wide.splitlines()]
    assert [row[-2] for row in rows if row[:2] == ["async-aiohttp", "40"]] == ["drifting"]
    assert "async-aiohttp at 40: drifting: it was still moving" in wide


def test_an_unstable_level_has_no_quantile_and_the_times_are_named():
    for width in (80, 160):
        text = printed(example_runs.open_model(), width)
        assert max(map(len, text.splitlines())) <= width
        row = next(line for line in text.splitlines() if " 800 " in line)
        assert "unstable" in row
        assert "81.0" in row  # the service time
        assert "Times and SLOs count from the moment when a request was meant to start" in text


def test_a_fall_beyond_the_knee_says_by_how_much():
    assert "falls by 66.5 (60.1–70.2) %" in printed(example_runs.example(), 80)  # noqa: RUF001


def test_a_search_has_a_table_of_capacities():
    text = printed(example_runs.searched(), 140)
    assert "capacity of" in text
    assert "78 (75–82)" in text  # noqa: RUF001
    assert "at least 160" in text


def test_the_limit_has_a_column_at_every_width():
    run = example_runs.explained()
    for width in (80, 160):
        text = printed(run, width)
        assert max(map(len, text.splitlines())) <= width
        rows = [line.split() for line in text.splitlines()]
        assert [r[-1] for r in rows if r[:1] == ["blocking-requests"]][4:7] == ["threads"] * 3
        assert [r[-1] for r in rows if r[:2] == ["async-aiohttp", "160"]] == ["slots"]


def test_an_open_run_with_limits_still_fits():
    run = example_runs.changed(
        example_runs.open_model(),
        lambda point: point.model_copy(
            update={"limit": Limit(resource="generator", why="its core is busy")}
        ),
    )
    text = printed(run, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("generator\n") == len(run.points)


def test_ceilings_are_listed_from_the_lowest_on():
    text = printed(example_runs.explained(), 160)
    assert (
        "async-httpx: predicted ceilings: cpu 402/s (1 core / 2.49 ms of CPU), pool 1,923/s" in text
    )


def test_verdicts_by_a_baseline_come_last_with_their_caveats():
    *before, last = printed(example_runs.judged(), 120).splitlines()
    assert last == "async-aiohttp against old: INVALID. Nothing was measured in the baseline."
    text = "\n".join(before)
    assert text.count("A stored baseline: what changes from run to run") == 1
    assert "! the baseline is drifting at 160 users" in text
    assert "Changed besides: p50 at 20 and 80 users (+10 % to +25 %); errors at 80 users (" in text
    assert "blocking-requests against its baseline: WORSE. p95 at 160 users is +20 %." in text


def test_sentences_come_before_tables_and_slos_before_points():
    text = printed(example_runs.example(), 80)
    first = text.index("blocking-requests: flat to 40 users")
    assert first < text.index("SLO  ") < text.index("deployment         users") < text.index("knee")


def test_no_cell_wraps_in_eighty_columns_and_reasons_follow_as_sentences():
    lines = printed(example_runs.searched(), 80).splitlines()
    tables = [line for line in lines if line[:1] == " "]
    assert [line for line in tables if line.strip()] == []  # a cell that goes on in the next line
    said = " ".join(" ".join(lines).split())
    assert "calm: errors < 0.1% (async-httpx): 7.6 % of the requests fail at 160 users." in said
    assert "async-httpx: errors < 0.1% fails at 1 user" in said


def test_long_names_are_cut_short_rather_than_wrapped():
    run = example_runs.example()
    points = [p.model_copy(update={"deployment": f"{p.deployment}-{'x' * 60}"}) for p in run.points]
    knees = {f"{name}-{'x' * 60}": knee for name, knee in run.knees.items()}
    longer = run.model_copy(update={"points": points, "knees": knees, "slos": [], "ceilings": {}})
    lines = printed(longer, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("…" in line for line in lines) == len(points) + len(knees)


def test_common_remarks_of_points_are_printed_once():
    busy = "the machine was busy with something else: other processes took {} % of a core: much"

    def disturbed(point):
        few = f"{point.level} successful requests are too few for p99"
        bad = point.deployment == "async-httpx" and point.level <= 10
        problems = [busy.format(point.level), few] if bad else []
        return point.model_copy(update={"valid": not bad, "problems": problems})

    run = example_runs.changed(example_runs.example(), disturbed)
    text = " ".join(printed(run, 80).split())
    where = "(async-httpx at 1, 5 and 10 users)"
    assert f"* 3 points are invalid: the machine was busy with something else {where}" in text
    assert f"3 points: too few successful requests for p99 {where}" in text
    full = printed(run, 80, "full")
    assert full.count("of a core: much") == 3


def test_remarks_with_numbers_keep_those_of_the_first_point():
    def short(point):
        known = f"p95 is known to {point.level + 10} %, not to 10 %: it takes longer"
        problems = [known] if point.deployment == "async-httpx" and point.level <= 10 else []
        return point.model_copy(update={"problems": problems})

    text = " ".join(printed(example_runs.changed(example_runs.example(), short), 80).split())
    assert (
        "async-httpx at 1: p95 is known to 11 %, not to 10 %: it takes longer; with other numbers "
        "async-httpx at 5 and 10 users"
    ) in text


def test_quiet_output_has_sentences_slos_problems_and_verdicts():
    run = example_runs.judged()
    run = run.model_copy(update={"problems": ["mine fails.\nIts log", "another"]})
    text = printed(run, 80, "least")
    assert "knee of" not in text
    assert "users  " not in text
    assert "calm: errors < 0.1%" in text
    assert "! mine fails.\n! another" in text
    assert text.splitlines()[-1].startswith("async-aiohttp against old: INVALID.")
    assert "Its log" in printed(run, 80, "full")
