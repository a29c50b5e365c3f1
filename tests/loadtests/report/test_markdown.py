from loadtests.report.outputs import markdown
from loadtests.results import Estimate
from tests.support import example_runs


def test_every_table_row_has_as_many_cells_as_its_header():
    tables = [
        block.splitlines()
        for block in markdown.render(example_runs.example()).split("\n\n")
        if block.startswith("|")
    ]
    assert len(tables) == 3
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_the_summary_names_invalid_points():
    text = markdown.render(example_runs.example())
    assert "| async-httpx \\* |" in text
    assert "async-httpx at 80: the generator was the bottleneck" in text


def test_names_cannot_break_out_of_their_cell():
    run = example_runs.renamed(example_runs.example(), "async-httpx", "a|b\n<img>[x](y)")
    text = markdown.render(run)
    assert "<img>" not in text.replace("\\<", "")
    assert "a\\|b \\<img\\>\\[x\\](y)" in text


def test_the_picture_is_a_file_of_the_same_folder_and_can_be_left_out():
    run = example_runs.example()
    shown = markdown.render(run)
    assert shown.count("](curves.svg)") == 1
    assert markdown.render(run, picture=False) == shown.replace(f"{markdown.PICTURE}\n\n", "")


def test_a_ratio_is_shown_in_the_place_of_a_time():
    run = example_runs.example()
    better = run.slos[0].model_copy(
        update={
            "text": "p95(blocking-requests) < 2 * p95(async-httpx) at 40",
            "measured": Estimate(value=0.495, low=0.472, high=0.521),
        }
    )
    text = markdown.render(run.model_copy(update={"slos": [better]}))
    assert "| ratio 0.495 (0.472–0.521) |" in text  # noqa: RUF001


def test_an_interrupted_run_says_so():
    run = example_runs.example().model_copy(update={"status": "interrupted"})
    assert "**Interrupted**" in markdown.render(run)


def test_the_summary_has_states_capacity_and_both_times():
    text = markdown.render(example_runs.open_model())
    assert "| unstable | unstable | unstable | 81.0 ±1.0 ms | 0 % | over-saturated |" in text
    assert "Times and SLOs count from the moment" in text
    assert "| blocking-requests | 78 (75–82) |" in markdown.render(  # noqa: RUF001
        example_runs.searched()
    )


def test_the_summary_has_limits_and_ceilings():
    text = markdown.render(example_runs.explained())
    assert "| errors | state | limit |" in text
    assert "| 0 % | – | threads |" in text  # noqa: RUF001
    assert "| 40 threads / 52.0 ms | 769/s | 712/s | 92.6 % |" in text
    assert "| beyond it | limit |" in text


def test_the_summary_begins_with_the_verdicts_and_the_weakness_of_their_method():
    text = markdown.render(example_runs.judged())
    assert text.index("A stored baseline: what changes from run to run") < text.index("**❌ block")
    assert "- ⚠️ the baseline is drifting at 160 users" in text
    assert "Changed besides: p50 at 20 and 80 users (+10 % to +25 %)" in text
    assert "| 95 % interval |" not in text
