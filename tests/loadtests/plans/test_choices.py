"""What a command line or a form may change of a plan, and what it is told when that cannot be."""

import argparse
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from loadtests import plans
from loadtests.engine import options
from loadtests.plans import overrides


@given(st.sampled_from(sorted(plans.shipped())))
def test_the_plans_own_values_change_nothing(name):
    plan = plans.read(plans.find(name))
    assert overrides.applied(plan, overrides.of(plan)) == plan


def test_levels_become_rates_by_choosing_the_open_model():
    chosen = overrides.applied(
        plans.default(), {"model": "open", "arrivals": "even", "levels": "50, 100"}
    )
    assert (chosen.load.model, chosen.load.arrivals) == ("open", "even")
    assert chosen.load.levels == (50, 100)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"model": "opne"}, "load.model: \"opne\" must be 'closed' or 'open'"),
        ({"arrivals": "random"}, "load.arrivals: \"random\" must be 'poisson' or 'even'"),
        ({"model": "open", "levels": "0"}, "load.levels[0]: 0 must be 1 or more"),
        ({"model": "open", "levels": "20001"}, "20001 must be 20000 or less"),
        ({"model": "open", "levels": "0.5"}, "0.5"),
        ({"model": "open", "think_time": "1s"}, "load.think_time: '1s' is a pause of users"),
    ],
)
def test_an_invalid_value_is_refused_with_its_place(values, says):
    with pytest.raises(plans.PlanError) as told:
        overrides.applied(plans.default(), values)
    assert says in str(told.value)


def test_a_locustfiles_users_cannot_be_played_in_the_open_model(tmp_path):
    (tmp_path / "own.py").write_text("", encoding="utf-8")
    file = tmp_path / "plan.toml"
    file.write_text(
        'name = "own"\nlocustfile = "own.py"\n'
        '[deployments.a]\nvariant = "async-httpx"\n[load]\nlevels = [1]\n',
        encoding="utf-8",
    )
    with pytest.raises(plans.PlanError, match=r"load\.model: users of a locustfile wait"):
        overrides.applied(plans.read(file), {"model": "open"})


def planned(upstream=None, slos=None, folder=None):
    return plans.Plan.model_validate(
        {
            "name": "n",
            "upstream": upstream or {"latency": "20ms"},
            "deployments": {"a": {"variant": "async-httpx"}, "b": {"variant": "async-aiohttp"}},
            "requests": [{"path": "/external-data"}],
            "load": {"levels": [1, 40]},
            "slos": slos or {},
        },
        context={"folder": folder},
    )


def table(needed=None, **optional):
    return st.fixed_dictionaries(needed or {}, optional=optional)


# What a line can say.
SAID = {
    "latency": st.sampled_from(
        ["20ms", "uniform(1ms,9ms)", "p50=1ms p99=9ms", "0.9*(p50=1ms p95=2ms) + 0.1*2s"]
    ),
    "network": st.integers(0, 9).map(lambda n: f"{n}ms"),
    "errors": st.dictionaries(
        st.sampled_from(["400", "429", "500", "503"]), st.floats(0, 0.25), max_size=4
    ),
    "sampling": st.sampled_from(["random", "stratified"]),
    "spells": st.sampled_from([{"factor": 3.5}, {"latency": "2s"}]).map(
        {"good": "9s", "bad": "500ms"}.__or__
    ),
    "capacity": table(
        {"servers": st.integers(1, 99)},
        queue=st.integers(0, 99),
        overflow=st.sampled_from([500, "reset"]),
        slowdown=table(alpha=st.floats(0, 1)),
    ),
    "limits": st.lists(
        st.just({"kind": "concurrency", "limit": 3, "key": "header:x-a"})
        | st.just({"kind": "token_bucket", "limit": 5, "per": "1s", "burst": 7}),
        max_size=2,
    ),
    "faults": st.lists(
        st.just({"fault": "reset", "probability": 0.5})
        | st.just({"fault": "drip"})
        | st.just({"fault": "error-status", "status": 500, "every": 3}),
        max_size=2,
    ),
    "body": table(size=st.just("lognormal(p50=1kB,p99=9kB)"), framing=st.just("chunked")),
}
# And what it leaves out.
UNSAID = {
    "seed": st.integers(0, 9),
    "overrides": st.booleans(),
    "caps": st.just({"chunks": 5}),
    "budget": st.just({"late": "50ms"}),
    "routes": st.sampled_from([{"json": None}, {"json": ["\x7f"]}, {"latency": "3ms"}]).map(
        lambda route: [{"path": "/a/{id}"} | route]
    ),
    "timeline": st.just({"phases": [{"name": "down", "for": "5s", "outage": 503}]}),
}
upstreams = table(**SAID, **UNSAID)
slo_texts = st.sampled_from(
    [
        "p95 < 250ms at 40",
        "p95 <= 250ms at 40",
        "p95(a) < 1s at 1",
        "p99(b)  <  0.5 * p99(a) at 1",
        "errors < 1%",
        "knee(a) > 2",
    ]
)
tables_of_slos = st.dictionaries(st.sampled_from(["p95-at-40", "x", "y z"]), slo_texts)
named_slos = st.builds("{} = {}".format, st.sampled_from(["x", "mine"]), slo_texts)
lines_of_slos = st.lists(slo_texts | named_slos, min_size=1).map("; ".join) | st.just("none")


@given(upstreams, tables_of_slos)
def test_the_own_values_of_any_plan_change_nothing(upstream, slos):
    plan = planned(upstream, slos)
    assert overrides.applied(plan, overrides.of(plan)) == plan


@given(upstreams, tables_of_slos, upstreams, lines_of_slos)
def test_applying_overrides_twice_equals_applying_them_once(upstream, slos, other, line):
    values = {"upstream": overrides.of(planned(other))["upstream"], "slos": line}
    try:
        once = overrides.applied(planned(upstream, slos), values)
    except plans.PlanError:  # such as two called x, or spells with both a latency and a factor
        reject()
    assert overrides.applied(once, values) == once
    assert overrides.applied(once, overrides.of(once)) == once


@given(table(**SAID))
def test_the_line_of_an_upstream_is_read_back_unchanged(upstream):
    plan = planned(upstream)
    line = overrides.of(plan)["upstream"]
    bare = planned({"latency": "77ms"})
    if "latency = " in line or not upstream.keys() - {"latency"}:  # else it says the latency alone
        assert overrides.applied(bare, {"upstream": line}).upstream == plan.upstream


@pytest.mark.parametrize(
    ("upstream", "line"),
    [
        ({"seed": 3}, "p50=50ms p95=80ms p99=150ms"),
        ({"latency": "0.02s", "errors": {}, "capacity": None}, "20ms"),
        (
            {"latency": "20ms", "capacity": {"servers": 10, "queue": 1000}, "errors": {503: 0.01}},
            'latency = "20ms", errors = {503 = 0.01}, capacity = {servers = 10}',
        ),
        ({"latency": "20ms", "routes": [{"path": "/", "json": None}]}, "20ms"),
        ({"latency": "20ms", "limits": [{"kind": "concurrency", "limit": 3}] * 9}, "20ms"),
    ],
)
def test_the_line_of_an_upstream_is_short(upstream, line):
    assert overrides.of(planned(upstream))["upstream"] == line


FULL = {"latency": "20ms", "capacity": {"servers": 3, "queue": 5}, "errors": {503: 0.01}}


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("0.2s", {"latency": "200ms"}),
        (" p50=50ms  p95=80ms ", {"latency": "p50=50ms p95=80ms"}),
        ("capacity.servers = 7", {"capacity": {"servers": 7, "queue": 5}}),
        (
            'latency = "9ms", capacity = {servers = 10}, errors = {429 = 0.5}',
            {
                "latency": "9ms",
                "capacity": {"servers": 10, "queue": 5},
                "errors": {503: 0.01, 429: 0.5},
            },
        ),
        ('capacity = "none", errors = {503 = "none"}', {"capacity": None, "errors": {}}),
        ('capacity.queue = "none"', {"capacity": {"servers": 3}}),
        ("limits = []", {}),
        ("", {}),
    ],
)
def test_a_line_is_laid_over_the_upstream_of_the_plan(line, changes):
    chosen = overrides.applied(planned(FULL), {"upstream": line}).upstream
    assert chosen == planned(FULL | changes).upstream


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("20 parsecs", "has the unknown unit 'parsecs'; there are: us, ms, s, m (column 1)"),
        ("slow.toml", "there is no latency called 'slow.toml'"),
        ("  ", "the latency is empty; write one such as 50ms"),
        ("20", 'Write a latency, such as 200ms, or values of a profile, such as latency = "200ms"'),
        ("p95=80ms", "one quantile makes no spread"),
        (
            "latency = 20ms",
            "'latency = 20ms' cannot be read as TOML: Unclosed inline table (column",
        ),
        ('latency = "1ms" # so', "cannot be read as TOML"),
        ("capacity = {servers = 3", 'texts stand in quotes, for example latency = "200ms"'),
        ('latency = "1ms", latency = "2ms"', "Duplicate inline table key 'latency'"),
        ('latency = "20ms"}\n[caps]\nx = {y = 1', "cannot be read as TOML"),
        (f"seed = {'9' * 5000}", "cannot be read as TOML"),
        ("}", "'}' is not a duration"),
        ('latncy = "20ms"', "there is no key 'latncy'; did you mean 'latency'?"),
        ("latency = 5", "latency: 5 is not text; write a latency such as '50ms'"),
        ('capacity = {servers = "x"}', 'capacity.servers: "x" must be a whole number'),
        ("errors = {503 = 2}", "errors: 503 = 2.0 is not a probability"),
        ('faults = [{fault = "rest"}]', "faults[0]: there is no fault 'rest'"),
        ('spells = {good = "1s", bad = "1s"}', "spells: a bad spell needs a factor or a latency"),
        (f"{'a.' * 5000}a = 1", "has too many tables in tables"),
        (f"errors = {'{a = ' * 400}1{'}' * 400}", "has too many tables in tables"),
        (f'routes = [{{path = "/", json = {{{"a." * 5000}a = 1}}}}]', "too many tables in tables"),
    ],
)
def test_an_invalid_upstream_is_refused(line, says):
    with pytest.raises(plans.PlanError) as told:
        overrides.applied(planned(), {"upstream": line})
    assert str(told.value).startswith("upstream: ")
    assert says in str(told.value)
    assert len(str(told.value)) < 400


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with a recording and a profile, which is the current one."""
    (tmp_path / "calls.csv").write_text("1\n2\n3\n", encoding="utf-8")
    (tmp_path / "slow.toml").write_text('latency = "2s"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "{folder}/"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("file({file}, unit=ms)", "no file is read here"),
        ("0.5*file({file}, unit=ms) + 0.5*1s", "no file is read here"),
        ('latency = "file({file}, unit=ms)"', "latency: no file is read here"),
        (
            'spells = {{good = "1s", bad = "1s", latency = "file({file}, unit=ms)"}}',
            "spells.latency: no file is read here",
        ),
        ('routes = [{{path = "/", file = "{file}"}}]', "routes[0].file: no file is read here"),
        (
            'routes = [{{path = "/", latency = "file({file}, unit=ms)"}}]',
            "routes[0].latency: no file is read here",
        ),
        (
            'timeline = {{phases = [{{name = "x", for = "1s", '
            'changes = {{latency = "file({file}, unit=ms)"}}}}]}}',
            "no file is read here",
        ),
        ('profile = "{folder}slow.toml"', "there is no key 'profile'"),
        ("{folder}slow.toml", "upstream: "),
    ],
)
def test_a_line_of_an_upstream_reads_no_file(files, folder, line, says):
    folder = folder.format(folder=files)
    with pytest.raises(plans.PlanError) as told:
        overrides.applied(
            planned(), {"upstream": line.format(folder=folder, file=f"{folder}calls.csv")}
        )
    assert says in str(told.value)


def test_files_that_the_plan_has_stay_and_are_not_read_again(files):
    route = {"path": "/", "file": "calls.csv"}
    plan = planned({"latency": "file(calls.csv, unit=ms)", "routes": [route]}, folder=files)
    (files / "calls.csv").unlink()
    own = overrides.of(plan)
    assert own["upstream"] == f"file({files}/calls.csv, unit=ms)"
    assert overrides.applied(plan, own) == plan
    chosen = overrides.applied(
        plan, {"upstream": f'latency = "{own["upstream"]}", capacity = {{servers = 2}}'}
    )
    assert chosen.upstream.latency == plan.upstream.latency
    assert chosen.upstream.routes == plan.upstream.routes


SLOS = {"fast": "p95 < 250ms at 40", "of-a": "p95(a) < 1s at 1"}


@pytest.mark.parametrize(
    ("line", "slos"),
    [
        ("none", {}),
        (" none ", {}),
        ("", SLOS),
        ("p95(a) < 1s at 1;p95  <  250ms at 40;", SLOS),
        ("p95 < 250ms at 40; p95 < 250ms at 40", {"fast": "p95 < 250ms at 40"}),
        (
            "errors < 1%; p95(b) < 2s at 1; knee > 2; p99(a) < p99(b) at 1",
            {
                "errors": "errors < 1%",
                "p95-b-at-1": "p95(b) < 2s at 1",
                "knee": "knee > 2",
                "p99-a-b-at-1": "p99(a) < p99(b) at 1",
            },
        ),
        (
            "p95 < 1s at 40; p95 <= 2s at 40; p95 < 1s at 40",
            {"p95-at-40": "p95 < 1s at 40", "p95-at-40-2": "p95 <= 2s at 40"},
        ),
        ("mine = errors <= 1%", {"mine": "errors <= 1%"}),
        ("mine=p95 < 250ms at 40", {"mine": "p95 < 250ms at 40"}),
        ("fast = knee > 2", {"fast": "knee > 2"}),
        (
            "p95 < 250ms at 40; fast = knee > 2",
            {"p95-at-40": "p95 < 250ms at 40", "fast": "knee > 2"},
        ),
        (
            "p95-at-40 = knee > 2; p95 < 1s at 40",
            {"p95-at-40": "knee > 2", "p95-at-40-2": "p95 < 1s at 40"},
        ),
    ],
)
def test_slos_keep_the_names_of_the_plan_or_have_their_own_or_get_one(line, slos):
    chosen = overrides.applied(planned(slos=SLOS), {"slos": line}).slos
    assert {name: slo.text for name, slo in chosen.items()} == slos


def test_none_stands_where_there_are_no_slos():
    assert overrides.of(planned())["slos"] == "none"


@pytest.mark.parametrize(
    "where", [{"deployments": "b"}, {"host": "http://127.0.0.1:9000"}], ids=["deployments", "host"]
)
def test_an_slo_of_a_left_out_deployment_is_left_out_or_refused(where):
    plan = planned(slos=SLOS)
    chosen = overrides.applied(plan, overrides.of(plan) | where)
    assert list(chosen.slos) == ["fast"]
    for line in ("p95(a) < 2s at 1", "mine = p95(a) < 1s at 1"):
        with pytest.raises(plans.PlanError, match=r"slos\.\S+: there is no deployment 'a'"):
            overrides.applied(plan, {"slos": line} | where)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "errors < 1%; p95 < 250 at 40",
            "slos: a duration with its unit is expected, such as 250ms (column 7)\n"
            "  p95 < 250 at 40\n        ^\nMETRIC[(",
        ),
        (
            "p95 = 250ms at 40",
            "slos: <, <=, > or >= is expected (column 5)\n  p95 = 250ms at 40\n",
        ),
        ("mine == errors < 1%", "slos: a metric is expected (column 1)\n  mine == errors < 1%\n"),
        ("errors = errors < 1%", "slos: <, <=, > or >= is expected (column 8)"),
        ("mine =", "slos: a metric is expected (column 1)\n"),
        ("none; errors < 1%", "slos: a metric is expected (column 1)\n  none\n"),
        ("p95 < 250ms at 39", "slos.p95-at-39: 39 is not among the levels (1, 40); add it there"),
        ("x = p95(c) < 1s at 1", "slos.x: there is no deployment 'c'; there are: a, b"),
        (
            "a = p95 < 1s at 1; a = knee > 2",
            "slos: 'p95 < 1s at 1' and 'knee > 2' are both called 'a'; give each its own name",
        ),
        (" ; ", "slos: ' ; ' has none; write p95 < 250ms at 40; errors < 1%, or none for none"),
        (" ", "slos: ' ' has none; write"),
        (" " * 3000, f"slos: '{' ' * 200}' has none; write"),
        ("\n" * 200 + "; p95", "slos: <, <=, > or >= is expected (column 4)"),
    ],
)
def test_invalid_slos_are_refused(line, says):
    with pytest.raises(plans.PlanError) as told:
        overrides.applied(planned(), {"slos": line})
    assert str(told.value).startswith(says)


def test_every_wrong_slo_is_named():
    with pytest.raises(plans.PlanError) as told:
        overrides.applied(planned(), {"slos": "p95; errors < 1%; knee < x"})
    assert str(told.value).count("slos: ") == 2


# Where one character after the other is drawn, hardly a text is more than the first mistake.
pieces = st.lists(
    st.sampled_from(
        [
            *' ={}[]";,.\n*()<>',
            "none",
            "latency",
            "20ms",
            "p95",
            "errors",
            "at",
            "40",
            "file",
            "503",
        ]
    )
    | st.text(max_size=2)
).map("".join)


@given(st.sampled_from(["upstream", "slos"]), pieces)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_typed_text_is_accepted_or_refused(name, text):
    with suppress(plans.PlanError):
        overrides.applied(planned(), {name: text})


@given(upstreams, tables_of_slos)
def test_untouched_options_are_the_plans_own_values(upstream, slos):
    plan = planned(upstream, slos)
    parser = argparse.ArgumentParser()
    options.add(parser, plan)
    assert options.chosen(parser.parse_args([])) == overrides.of(plan)
    assert "Values that are not named stay." in " ".join(parser.format_help().split())


def test_options_are_chosen_as_they_were_typed():
    parser = argparse.ArgumentParser()
    options.add(parser, planned())
    line = 'latency = "1ms", errors = {503 = 0.5}'
    parsed = parser.parse_args(["--upstream", line, "--slos", "errors < 1%"])
    chosen = options.chosen(parsed)
    assert (chosen["upstream"], chosen["slos"]) == (line, "errors < 1%")
