"""The two sides of a comparison, from the command line."""

import pytest

from loadtests import plans
from loadtests.compare.targets import contest, is_run
from loadtests.plans import CommandDeployment, PlanError, UrlDeployment

PLAN = plans.Plan.model_validate(
    {
        "name": "checkout",
        "seed": 7,
        "upstream": {"latency": "p50=50ms p95=80ms"},
        "deployments": {
            "threads": {"variant": "blocking-requests"},
            "async": {"variant": "async-httpx2"},
        },
        "requests": [{"path": "/external-data"}],
        "load": {"levels": [1, 5, 20, 80], "repeats": 3},
        "slos": {"fast": "p99(async) < 1s at 80", "few": "errors < 1%"},
    }
)


def test_two_deployments_of_the_plan_keep_all_but_its_levels_and_its_slos() -> None:
    chosen, terms = contest(PLAN, "threads", "async", at="40,10")
    assert list(chosen.deployments) == ["threads", "async"]
    assert chosen.deployments["async"] == PLAN.deployments["async"]
    assert chosen.load.levels == (10, 40)
    assert chosen.load.repeats == 1
    assert not chosen.slos
    assert not chosen.telemetry
    assert (terms.a, terms.b, terms.at, terms.seed) == ("threads", "async", (40, 10), 7)
    assert terms.restarts
    assert terms.size == 16


def test_delays_of_the_upstream_are_drawn_evenly() -> None:
    chosen, _ = contest(PLAN, "threads", "async")
    assert chosen.upstream.sampling == "stratified"
    assert chosen.upstream.latency == PLAN.upstream.latency


def test_blocks_are_as_long_as_the_upstream_and_the_metric_want() -> None:
    def lengths(**options):
        chosen, terms = contest(PLAN, "threads", "async", **options)
        assert terms.round_seconds > 8 * (chosen.load.settle + chosen.load.measure)
        return chosen.load.settle, chosen.load.measure

    assert lengths(at="40") == (0.25, 1.25)
    assert lengths(at="1")[1] > 5
    assert lengths(at="40", metric="p99")[1] > lengths(at="40")[1] / 2
    assert lengths(at="1", measure="2s", settle="1s") == (1.0, 2.0)


def test_blocks_may_grow_unless_their_length_is_asked_for() -> None:
    chosen, terms = contest(PLAN, "threads", "async", at="40")
    assert (terms.settle, terms.measure, terms.fixed) == (0.25, 1.25, False)
    assert contest(PLAN, "threads", "async", measure="2s")[1].fixed
    assert contest(PLAN, "threads", "async", settle="1s")[1].fixed
    thinking = PLAN.model_copy(
        update={"load": PLAN.load.model_copy(update={"think_time": 1.0, "levels": (40,)})}
    )
    _, terms = contest(thinking, "threads", "async", at="40")
    assert terms.settle > 2, "two cycles of a user"
    assert chosen.load.settle == 0.25


def test_the_level_is_that_of_an_slo_on_the_metric_or_the_usual_one() -> None:
    assert contest(PLAN, "threads", "async")[1].at == (20,)
    assert contest(PLAN, "threads", "async", metric="p99")[1].at == (80,)


def test_a_command_takes_the_keys_in_which_all_commands_of_the_plan_agree(tmp_path) -> None:
    file = tmp_path / "plan.toml"
    service = 'env = {{ URL = "{{upstream}}", N = "{n}" }}\nready = "/up"\nstop = "true"\n'
    text = 'name = "a"\n[[requests]]\npath = "/"\n'
    for n, timeout in ((1, "5s"), (1, "6s")):
        text += f'[deployments.of{timeout}]\ncommand = "x {{port}}"\nready_timeout = "{timeout}"\n'
        text += service.format(n=n)
    file.write_text(text, encoding="utf-8")
    found, _ = contest(plans.read(file), "y --port {port}", "z --port {port}", at="1")
    for deployment in found.deployments.values():
        assert deployment.env == {"URL": "{upstream}", "N": "1"}
        assert deployment.ready.path == "/up"
        assert deployment.ready_timeout == 30.0
        assert deployment.stop is None


def test_urls_and_commands_may_be_compared_too(tmp_path) -> None:
    chosen, terms = contest(PLAN, "http://127.0.0.1:9001", "http://127.0.0.1:9002/v2")
    assert list(chosen.deployments) == ["127.0.0.1:9001", "127.0.0.1:9002"]
    assert all(isinstance(one, UrlDeployment) for one in chosen.deployments.values())
    assert not terms.restarts
    chosen, _ = contest(PLAN, "http://127.0.0.1:9001/v1", "http://127.0.0.1:9001/v2")
    assert list(chosen.deployments) == ["A", "B"]
    folders = str(tmp_path), ""
    chosen, terms = contest(PLAN, "uvicorn a:app --port {port}", "threads", folders=folders)
    first = chosen.deployments["A"]
    assert isinstance(first, CommandDeployment)
    assert first.cwd == tmp_path
    assert (terms.a, terms.b) == ("A", "threads")


@pytest.mark.parametrize(
    ("a", "b", "options", "told"),
    [
        ("threads", "threads", {}, "compared with itself"),
        ("http://127.0.0.1:9001", "http://localhost:9001/", {}, "one and the same service"),
        ("thread", "async", {}, "did you mean 'threads'?"),
        ("threads", "uvicorn a:app", {}, "never told its port"),
        ("threads", "async", {"metric": "p90"}, "--metric 'p90'"),
        ("threads", "async", {"at": "lots"}, "--at 'lots'"),
        ("threads", "async", {"at": "40,40"}, "a level twice"),
        ("threads", "async", {"measure": "500ms"}, "too short"),
        ("threads", "async", {"folders": ("x", "")}, "`cwd`"),
        ("threads", "http://192.0.2.1", {}, "not this machine"),
    ],
)
def test_impossible_comparisons_are_refused_before_anything_starts(a, b, options, told) -> None:
    with pytest.raises(PlanError) as caught:
        contest(PLAN, a, b, **options)
    assert told in str(caught.value)


def test_a_saved_run_is_a_path_or_a_folder_with_its_result(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    assert not is_run("base")
    assert is_run("./base")
    assert is_run(str(tmp_path))
    assert not is_run("http://127.0.0.1:9000")
    (tmp_path / "base" / "run.json").write_text("{}", encoding="utf-8")
    assert is_run("base")
