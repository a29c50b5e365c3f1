from loadtests.report import markdown
from tests import example_runs


def test_every_table_row_has_as_many_cells_as_its_header():
    tables = [
        block.splitlines()
        for block in markdown.render(example_runs.example()).split("\n\n")
        if block.startswith("|")
    ]
    assert len(tables) == 3
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_the_summary_names_what_is_not_valid():
    text = markdown.render(example_runs.example())
    assert "| async-httpx \\* |" in text
    assert "async-httpx at 80: the generator was the bottleneck" in text


def test_names_cannot_break_out_of_their_cell():
    run = example_runs.renamed(example_runs.example(), "async-httpx", "a|b\n<img>[x](y)")
    text = markdown.render(run)
    assert "<img>" not in text.replace("\\<", "")
    assert "a\\|b \\<img\\>\\[x\\](y)" in text


def test_an_interrupted_run_says_so():
    run = example_runs.example().model_copy(update={"status": "interrupted"})
    assert "**Interrupted**" in markdown.render(run)


def test_the_summary_tells_states_capacity_and_both_clocks():
    text = markdown.render(example_runs.open_model())
    assert "| unstable | unstable | unstable | 81.0 ±1.0 ms | 0 % | over-saturated |" in text
    assert "Times and SLOs count from the moment" in text
    assert "| blocking-requests | 78 (75–82) |" in markdown.render(  # noqa: RUF001
        example_runs.searched()
    )


def test_the_summary_tells_limits_and_ceilings():
    text = markdown.render(example_runs.explained())
    assert "| errors | state | limit |" in text
    assert "| 0 % | – | threads |" in text  # noqa: RUF001
    assert "| 40 threads / 52.0 ms | 769/s | 712/s | 92.6 % |" in text
    assert "| beyond it | limit |" in text
