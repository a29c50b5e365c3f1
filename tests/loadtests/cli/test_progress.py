from loadtests.cli.progress import described
from tests.support.example_runs import example, moving, open_model


def test_a_line_names_level_throughput_and_quantiles():
    point = open_model().of("blocking-requests")[0]
    assert described(point) == "blocking-requests at 200/s: 200/s, p50 51.2 ms, p95 80.3 ms"


def test_an_unstable_level_has_no_quantile_and_says_why():
    point = open_model().of("blocking-requests")[-1]
    assert described(point) == (
        "blocking-requests at 1,000/s: 716/s, note: unstable: 716/s answered of 1,000/s asked"
    )


def test_an_invalid_level_names_the_reason_and_leaves_the_details_to_the_report():
    point = example().of("async-aiohttp")[0]
    busy = "the machine was busy: others took 10 % of a core: python (pid 7) used 9 %, and more"
    few = "3 successful requests are too few for p99"
    point = point.model_copy(update={"valid": False, "problems": [busy, few]})
    assert described(point).endswith(", INVALID: the machine was busy")


def test_a_drifting_level_says_so():
    run = moving(example(), "async-aiohttp", {1: "drifting"})
    assert "at 1 user: " in described(run.of("async-aiohttp")[0])
    assert "note: drifting: it was still moving" in described(run.of("async-aiohttp")[0])
