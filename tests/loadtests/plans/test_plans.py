"""Plans: what is read, what is refused and how, and that the resolved plan is the plan."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest
import tomli_w
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import loadtests
from loadtests import plans, redaction
from loadtests.plans import PlanError
from loadtests.plans.deployments import argv
from loadtests.recording.messages import RequestSpec

BASE = """
name = "checkout"
[deployments.a]
variant = "async-httpx"
[[requests]]
path = "/external-data"
"""
LONG = "n" * 300  # characters, and no file system takes a name of more than 255
JARGON = re.compile(
    r"Input should|Extra inputs|Value error|validation|pydantic|expected tags|NoneType|<class"
)


@pytest.fixture
def read(tmp_path):
    def read(text: str) -> plans.Plan:
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return plans.read(path)

    return read


@pytest.fixture
def refused(read):
    """The message that a plan is refused with, file names without their folder."""

    def refused(text: str) -> str:
        with pytest.raises(PlanError) as caught:
            read(text)
        assert not JARGON.search(str(caught.value))
        return re.sub(r"(?<!\w)/\S*/(?=plan\.toml)", "", str(caught.value))

    return refused


@pytest.mark.parametrize("name", plans.shipped())
def test_every_shipped_plan_can_be_played(name):
    plan = plans.read(plans.find(name))
    assert plan.name == name


def test_the_default_plan_asks_threads_or_async():
    plan = plans.default()
    assert list(plan.deployments) == ["blocking-requests", "async-httpx", "async-aiohttp"]
    assert plan.load.levels == (4, 10, 20, 40, 80, 160)
    assert (plan.load.settle, plan.load.measure) == (1.5, None)
    assert [request.path for request in plan.requests] == ["/external-data"]


def test_no_module_hides_one_of_the_standard_library():
    # Locust puts this folder first on the path.
    ours = {path.stem for path in Path(loadtests.__file__).parent.iterdir()}
    assert not ours & sys.stdlib_module_names


@pytest.mark.processes
def test_a_plan_is_read_without_anything_heavy():
    code = "import sys, loadtests.plans as p; p.default(); print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    heavy = {"locust", "gevent", "fastapi", "uvicorn", "numpy", "httpx", "requests", "aiohttp"}
    assert not heavy & set(done.stdout.split())


def test_everything_a_plan_can_say_is_read(read, tmp_path):
    (tmp_path / "slow.toml").write_text('latency = "80ms"\n', encoding="utf-8")
    (tmp_path / "shop").mkdir()
    plan = read("""
name = "all of it"
seed = 7
allow_hosts = ["example.org"]
[upstream]
profile = "slow.toml"
[deployments.threads]
variant = "blocking-requests"
settings = { pool = 50, threads = 1 }
matrix = { threads = [20, 40], workers = [1, 2] }
[deployments.mine]
command = "uvicorn shop.main:app --port {port}"
env = { PAYMENTS_URL = "{upstream}" }
cwd = "shop"
ready = "/up"
ready_timeout = "1m"
stop = ["docker", "stop", "shop"]
[deployments.canary]
url = "http://127.0.0.1:9000/"
[[requests]]
method = "post"
path = "/orders?fast=1"
weight = 3
headers = { X-Who = "me" }
json = { id = 7 }
timeout = "500ms"
expect = { status = [200, 201], contains = "paid" }
[[requests]]
path = "/external-data"
expect = { status = 200 }
[load]
levels = [2, 4]
settle = "500ms"
measure = "1.25s"
think_time = "10ms"
repeats = 3
[slos]
fast = "p95(threads[20,2]) < 250ms at 4"
""")
    names = [f"threads[{threads},{workers}]" for threads in (20, 40) for workers in (1, 2)]
    assert list(plan.deployments) == [*names, "mine", "canary"]
    last = plan.deployments["threads[40,2]"]
    assert isinstance(last, plans.VariantDeployment)
    assert last.settings == {"pool": 50, "threads": 40, "workers": 2}
    mine = plan.deployments["mine"]
    assert isinstance(mine, plans.CommandDeployment)
    assert (mine.cwd, mine.ready.path, mine.ready_timeout) == (tmp_path / "shop", "/up", 60.0)
    assert plan.deployments["canary"] == plans.UrlDeployment(url="http://127.0.0.1:9000")
    assert plan.upstream.latency.quantile(0.5) == 0.08
    assert plan.load == plans.Load(
        levels=(2, 4), settle="500ms", measure="1.25s", think_time="10ms", repeats=3
    )
    assert plan.slos["fast"].level == 4
    order, other = (request.spec() for request in plan.requests)
    assert order == RequestSpec(
        name="POST /orders?fast=1",
        method="POST",
        path="/orders?fast=1",
        weight=3,
        headers={"X-Who": "me", "content-type": "application/json"},
        body='{"id": 7}',
        json_body=True,
        timeout=0.5,
        statuses=(200, 201),
        contains="paid",
    )
    assert (other.name, other.statuses, other.body) == ("/external-data", (200,), None)


def test_a_locustfile_takes_the_place_of_requests(read, refused, tmp_path):
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    own = 'name = "x"\nlocustfile = "mine.py"\n[deployments.a]\nvariant = "async-httpx"\n'
    assert read(own).locustfile == tmp_path / "mine.py"
    assert "requests: the locustfile brings its own" in refused(
        own + '[[requests]]\npath = "/external-data"\n'
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = \n", ["plan.toml is not TOML", "line 1"]),
        ('name = "x"\n', ["deployments: is missing; write [deployments.NAME]"]),
        (BASE + "[load]\nlevles = [1]\n", ["load: there is no key 'levles'", "mean 'levels'?"]),
        (BASE + "[loda]\n", ["plan.toml: there is no key 'loda'; did you mean 'load'?"]),
        (BASE + "[load]\nlevels = [1, 5, 0]\n", ["load.levels[2]: 0 must be 1 or more"]),
        (BASE + "[load]\nlevels = [20001]\n", ["load.levels[0]: 20001 must be 20000 or less"]),
        (BASE + "[load]\nlevels = [true]\n", ["load.levels[0]: true must be a whole number"]),
        (BASE + "[load]\nlevels = [1, 5, 5]\n", ["load.levels: 5 follows 5"]),
        (BASE + "[load]\nlevels = []\n", ["load.levels: [] is empty", "levels = [1, 5, 10]"]),
        (BASE + "[load]\nlevels = 5\n", ["load.levels: 5 must be a list"]),
        (BASE + "[load]\nsettle = 2\n", ["load.settle: 2 is not text with a unit", '"2s"']),
        (BASE + '[load]\nsettle = "2"\n', ["load.settle: '2' has no unit"]),
        (BASE + '[load]\nsettle = "300ms"\n', ["load.settle: '300ms' is not a multiple of 250ms"]),
        (BASE + '[load]\nmeasure = "750ms"\n', ["load.measure: '750ms' is too short"]),
        (BASE + "[load]\nrepeats = 0\n", ["load.repeats: 0 must be 1 or more", "repeats = 3"]),
        (BASE + '[load]\nmodel = "opne"\n', ["load.model: \"opne\" must be 'closed'"]),
        (BASE + '[upstream]\nlatency = "p50=9ms p95=2ms"\n', ["upstream.latency:", "column", "^"]),
        (BASE + '[upstream]\nlatncy = "9ms"\n', ["upstream: there is no key", "'latency'"]),
        (BASE + '[upstream]\nprofile = "no.toml"\n', ["upstream:", "no.toml", "No such file"]),
        (BASE + '[upstream]\nprofile = "a.toml"\nseed = 1\n', ["has a profile and seed"]),
        (BASE + "[deployments.b]\n", ["deployments.b: has none of the keys variant, command, url"]),
        (BASE + "[deployments]\nb = 1\n", ["deployments.b: 1 must be a table"]),
        (BASE + '[deployments.b]\nurl = "x"\nvariant = "y"\n', ["has variant and url; keep one"]),
        (BASE + '[deployments.b]\nvariant = "async"\n', ["deployments.b.variant: there is no"]),
        (
            BASE + '[deployments.b]\nvariant = "async-httpx"\nsettings = { thread = 1 }\n',
            ["deployments.b.settings: there is no setting 'thread'; did you mean 'threads'?"],
        ),
        (
            BASE + '[deployments.b]\nvariant = "async-httpx"\nmatrix = { threads = [5, 0] }\n',
            ["deployments.b[0].settings.threads: 0 must be 1 or more"],
        ),
        (
            BASE + '[deployments.b]\nvariant = "async-httpx"\nmatrix = { threads = 5 }\n',
            ['deployments.b.matrix: {"threads": 5} is not a table of lists'],
        ),
        (
            BASE + '[deployments.b]\nvariant = "async-httpx"\nmatrix = { threads = [5, 5] }\n',
            ["deployments.b[5]: is there twice"],
        ),
        (BASE + '[deployments.b]\ncommand = "serve"\n', ["never told its port", "{port}"]),
        (BASE + "[deployments.b]\ncommand = 3\n", ["deployments.b.command: 3 must be text"]),
        (BASE + "[deployments.b]\ncommand = '\"{port}'\n", ["cannot be split into words"]),
        (
            BASE + '[deployments.b]\ncommand = "cd shop && serve {port}"\n',
            ["deployments.b.command:", "needs a shell", 'command = ["sh", "-c", "..."]'],
        ),
        (
            BASE + '[deployments.b]\ncommand = "x {port}"\ncwd = "nowhere"\nready = "up"\n',
            ["deployments.b.cwd: 'nowhere' is not a folder", "deployments.b.ready: 'up' is not"],
        ),
        ('name = "x"\ndeployments = {}\n', ["deployments: is empty; write [deployments.NAME]"]),
        (BASE + '[deployments."b c"]\nvariant = "async-httpx"\n', ["'b c' is not a name"]),
        (
            BASE + '[deployments.mock]\nvariant = "async-httpx"\n',
            ["'mock' names one of brownout's"],
        ),
        (BASE + '[deployments.b]\nurl = "ftp://x"\n', ["deployments.b.url: 'ftp://x' is not"]),
        (BASE + '[deployments.b]\nurl = "http://8.8.8.8"\n', ["deployments.b.url:", "allow_hosts"]),
        (BASE + 'body = "x"\njson = 1\n', ["requests[0]: has both json and body"]),
        (BASE + "json = [inf]\n", ["requests[0].json: [inf] holds nan or inf"]),
        (BASE + 'method = "PSOT"\n', ["requests[0].method:", "did you mean 'POST'?"]),
        (BASE + "weight = 0\n", ["requests[0].weight: 0 must be above 0"]),
        (BASE + 'timeout = "0s"\n', ["requests[0].timeout: '0s' is too short"]),
        (BASE + "expect = { status = 99 }\n", ["requests[0].expect.status: 99 must be 100"]),
        (BASE + 'name = "all"\n', ["requests[0].name: 'all' cannot name a request"]),
        (BASE + 'name = "a\\u202E"\n', ["requests[0].name:", "has characters without a shape"]),
        (BASE + '[[requests]]\npath = "http://x/y"\n', ["requests[1].path:", "leave the deploy"]),
        (BASE + '[[requests]]\npath = "//x/y"\n', ["requests[1].path:", "leave the deployment"]),
        (BASE + '[[requests]]\npath = "x"\n', ["requests[1].path: 'x' is not a path"]),
        (BASE + '[[requests]]\npath = "/external-data"\n', ["requests[1].name:", "there before"]),
        (BASE + '[slos]\na = "p95 < 1s at 41"\n', ["slos.a: 41 is not among the levels (1, 5,"]),
        (BASE + '[slos]\na = "p95(b) < 1s at 40"\n', ["slos.a: there is no deployment 'b'"]),
        (BASE + '[slos]\na = "p95 < 1 at 40"\n', ["slos.a: a duration", "column 7", "METRIC"]),
        (
            BASE + '[slos]\na = "p95(b) < p95(c) at 41"\n',
            [
                "slos.a: there is no deployment 'b'",
                "slos.a: there is no deployment 'c'",
                "slos.a: 41 is not among the levels",
            ],
        ),
        (
            BASE + '[slos]\na = "p95(a) < 0.5 * mean(b) at 40"\n',
            ["slos.a: p95 is expected on the right", "column 16", "METRIC"],
        ),
        (BASE.replace("checkout", "../x"), ["name: '../x' cannot name a run's folder"]),
        ('locustfile = "no.py"\n' + BASE, ["locustfile: 'no.py' is not a file"]),
        (f'locustfile = "{LONG}"\n' + BASE, ["locustfile: 'nnnn"]),
        (
            BASE + f'[deployments.b]\ncommand = "x {{port}}"\ncwd = "{LONG}"\n',
            ["deployments.b.cwd: 'nnn"],
        ),
        ('locustfile = "a.py,b.py"\n' + BASE, ["name one file, which imports the User classes"]),
    ],
)
def test_a_mistake_is_reported_with_its_key_its_value_and_a_hint(refused, text, expected):
    message = refused(text)
    for part in expected:
        assert part in message
    assert message.count("plan.toml") == len(re.findall(r"^plan\.toml", message, re.MULTILINE))


def test_all_mistakes_are_reported_at_once(refused):
    message = refused("sede = 1\n" + BASE + "weight = 0\n[load]\nlevels = [0]\nrepeats = 0\n")
    assert len(message.splitlines()) == 4


def test_a_path_with_characters_without_a_shape_names_its_request_as_it_is_sent(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        BASE.replace("/external-data", r"/gr\u00FC\u00DFe\u202E\u007F"), encoding="utf-8"
    )
    plan = plans.read(file)
    assert plan.requests[0].name == "/grüße%E2%80%AE%7F"
    file.write_text(plans.to_toml(plan), encoding="utf-8")
    assert plans.read(file) == plan


def test_a_plan_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        plans.read(tmp_path / "none.toml")
    with pytest.raises(PlanError, match=r"neither a file nor one of .*Did you mean 'default'"):
        plans.find("defaults")
    for name in (LONG, f"{LONG}/plan.toml"):
        with pytest.raises(PlanError, match="there is no plan 'nnn"):
            plans.find(name)


def test_a_table_in_place_of_a_list_of_tables_is_refused_with_its_brackets(refused):
    message = refused(BASE.replace("[[requests]]", "[requests]"))
    assert message.endswith("must be a list of tables: write [[requests]] in place of [requests]")


def test_a_folder_in_place_of_a_plan_is_refused_with_a_file_in_it(tmp_path):
    with pytest.raises(PlanError) as caught:
        plans.find(str(tmp_path))
    file = tmp_path / "brownout.toml"
    assert str(caught.value) == f"{tmp_path} is a folder, and a plan is a file, such as {file}"


def nested(scalars):
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = nested(st.booleans() | numbers | st.text())
anything = nested(st.booleans() | numbers | st.just(float("inf")) | st.text() | st.dates())
nullable = st.none() | values | st.lists(st.none() | values, max_size=3)
quarters = st.integers(4, 400).map(lambda n: f"{n * 250}ms")
seconds = st.floats(1e-5, 3000).map(lambda s: f"{s:.9f}s")
variant_tables = st.fixed_dictionaries(
    {"variant": st.sampled_from(["async-httpx", "blocking-requests"])},
    optional={
        "settings": st.fixed_dictionaries({"threads": st.integers(1, 99)}),
        "matrix": st.fixed_dictionaries(
            {"pool": st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True)}
        ),
    },
)
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=10)
command_tables = st.fixed_dictionaries(
    {"command": st.just("serve {port}") | st.lists(words, max_size=2).map(["x{port}"].__add__)},
    optional={
        # The values of secrets are redacted in what is written.
        "env": st.dictionaries(
            st.text().filter(lambda name: not redaction.is_secret(name)), st.text(), max_size=2
        ),
        "cwd": st.just("."),
        "ready_timeout": seconds,
        "stop": st.just("stop it"),
    },
)
url_tables = st.just({"url": "http://127.0.0.1:9000/x", "ready": "/"})
request_tables = st.fixed_dictionaries(
    {"path": st.integers().map(lambda n: f"/{n}")},
    optional={
        "method": st.sampled_from(["GET", "POST", "patch"]),
        "weight": st.floats(0.001, 1e6),
        "headers": st.just({"X-A": "b"}),
        "json": values,
        "timeout": seconds,
        "expect": st.fixed_dictionaries(
            {},
            optional={
                "status": st.integers(100, 599) | st.lists(st.integers(100, 599), max_size=3),
                "contains": st.text(),
            },
        ),
    },
)
plan_tables = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 ._-]{0,9}\Z"),
        "deployments": st.dictionaries(
            st.from_regex(r"\A[a-l][A-Za-z0-9._-]{0,5}\Z"),
            variant_tables | command_tables | url_tables,
            min_size=1,
            max_size=3,
        ),
        "requests": st.lists(request_tables, min_size=1, max_size=3, unique_by=lambda r: r["path"]),
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "upstream": st.fixed_dictionaries(
            {},
            optional={
                "latency": st.sampled_from(["0ms", "uniform(1ms,2ms)", "p50=1ms p99=9ms"]),
                "errors": st.just({"503": 0.25}),
                "routes": st.fixed_dictionaries({"path": st.just("/{id}"), "json": nullable}).map(
                    lambda route: [route]
                ),
            },
        ),
        "load": st.fixed_dictionaries(
            {},
            optional={
                "levels": st.sets(st.integers(41, 20_000)).map(lambda s: [40, *sorted(s)]),
                "settle": quarters,
                "measure": quarters,
                "think_time": seconds,
                "repeats": st.integers(1, 1000),
            },
        ),
        "slos": st.just({"fast": "p95 < 250ms at 40", "sound": "errors < 0.1%"}),
    },
)
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(table=plan_tables)
@quick
def test_the_resolved_plan_is_the_plan_from_whatever_folder(table, tmp_path):
    plan = plans.Plan.model_validate(table, context={"folder": tmp_path})
    path = tmp_path / "elsewhere"
    path.mkdir(exist_ok=True)
    (path / "plan.toml").write_text(plans.to_toml(plan), encoding="utf-8")
    assert plans.read(path / "plan.toml") == plan


@given(
    metric=st.sampled_from(["p50", "p95", "p99", "mean", "throughput", "knee"]),
    factor=st.none() | st.floats(0.01, 99).map("{:.3f}".format),
    behind=st.booleans(),
    gap=st.sampled_from(["", " ", "  "]),
)
def test_an_slo_that_compares_deployments_survives_the_way_through_a_file(
    metric, factor, behind, gap
):
    right = f"{metric}(b[1,2])"
    if factor:
        right = gap.join([right, "*", factor] if behind else [factor, "*", right])
    text = f"{metric}(a){gap}<={gap}{right}" + ("" if metric == "knee" else " at 40")
    table = {
        "name": "x",
        "deployments": {name: {"url": "http://127.0.0.1:9000"} for name in ("a", "b[1,2]")},
        "requests": [{"path": "/"}],
        "slos": {"better": text},
    }
    plan = plans.Plan.model_validate(table)
    again = plans.Plan.model_validate(tomllib.loads(plans.to_toml(plan)))
    assert again == plan
    slo = again.slos["better"]
    assert (slo.text, slo.deployment, slo.against) == (text, "a", "b[1,2]")
    assert slo.threshold == float(factor or 1)


def places(value, path=()):
    """Every place in nested tables and lists."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


@given(data=st.data(), junk=anything, extra=st.booleans())
@quick
def test_a_plan_with_anything_anywhere_is_read_or_refused_in_our_words(data, junk, extra, read):
    table = json.loads(
        json.dumps(
            {
                "name": "x",
                "seed": 1,
                "upstream": {"latency": "1ms", "routes": [{"path": "/a", "errors": {"500": 0.1}}]},
                "deployments": {
                    "a": {"variant": "async-httpx", "settings": {"threads": 3}},
                    "b": {"variant": "async-httpx", "matrix": {"threads": [3]}},
                    "c": {"command": ["x", "{port}"], "env": {"A": "b"}, "stop": "y"},
                    "d": {"url": "http://127.0.0.1:1"},
                },
                "requests": [{"path": "/x", "json": {}, "expect": {"status": [200]}}],
                "load": {"levels": [1, 2], "settle": "1s"},
                "slos": {"a": "knee > 2"},
            }
        )
    )
    *above, last = data.draw(st.sampled_from([place for place in places(table) if place]))
    spot = table
    for key in above:
        spot = spot[key]
    if extra and isinstance(spot, dict):
        spot[data.draw(st.text())] = junk
    else:
        spot[last] = junk
    assume(not JARGON.search(json.dumps(table, default=str)))  # it may well be quoted to the user
    try:
        read(tomli_w.dumps(table))
    except PlanError as error:
        values_left_out = re.sub(r"'[^']*'|\"[^\"]*\"", "", str(error))
        assert not JARGON.search(values_left_out)


def test_values_are_altered_as_a_command_line_or_a_form_writes_them():
    plan = plans.altered(
        plans.default(),
        deployments=["async-httpx"],
        levels="1, 5,10 ",
        settle="1s",
        measure="2s",
        think_time="50ms",
        repeats="2",
    )
    assert list(plan.deployments) == ["async-httpx"]
    assert plan.load.levels == (1, 5, 10)
    assert (plan.load.settle, plan.load.measure, plan.load.think_time) == (1.0, 2.0, 0.05)
    assert plan.load.repeats == 2
    assert plan.upstream == plans.default().upstream
    assert plans.altered(plan) == plan


def test_a_file_and_a_null_of_an_upstream_survive_the_way_through_a_file(tmp_path):
    (tmp_path / "calls.csv").write_text("1\n2\n3\n", encoding="utf-8")
    table = {
        **tomllib.loads(BASE),
        "upstream": {
            "latency": "file(calls.csv, unit=ms)",
            "routes": [{"path": "/", "json": None}],
        },
    }
    plan = plans.Plan.model_validate(table, context={"folder": tmp_path})
    path = tmp_path / "elsewhere" / "plan.toml"
    path.parent.mkdir()
    path.write_text(plans.to_toml(plan), encoding="utf-8")
    assert plans.read(path) == plan == plans.altered(plan)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"upstream": ""}, "upstream: the latency is empty"),
        ({"slos": ""}, "slos: '' has none; write p95 < 250ms at 40; errors < 1%, or none for none"),
        ({"url": "ftp://x"}, "'ftp://x' is not the URL of a service"),
        ({"levels": "1, x"}, 'load.levels[1]: "x" must be a whole number'),
        ({"levels": "5, -1"}, "load.levels[1]: -1 must be 1 or more"),
        ({"levels": "1.5"}, 'load.levels[0]: "1.5" must be a whole number'),
        ({"levels": ""}, "load.levels: [] is empty"),
        ({"settle": "2"}, "load.settle: '2' has no unit"),
        ({"repeats": "many"}, 'load.repeats: "many" must be a whole number'),
        ({"deployments": ["async-htpx"]}, "did you mean 'async-httpx'?"),
    ],
)
def test_altered_values_are_checked_as_a_plan_is(changes, expected):
    with pytest.raises(PlanError) as caught:
        plans.altered(plans.default(), **changes)
    assert expected in str(caught.value)


def test_an_slo_goes_with_its_deployment_but_not_with_its_level(read):
    plan = read(
        BASE
        + '[deployments.b]\nvariant = "async-httpx"\n'
        + '[slos]\nx = "p95(a) < 1s at 40"\ny = "p95(b) < 1s at 40"\nz = "p95 < 1s at 40"\n'
    )
    assert list(plans.altered(plan, deployments=["b"]).slos) == ["y", "z"]
    assert list(plans.altered(plan, url="http://127.0.0.1:9000").slos) == ["z"]
    with pytest.raises(PlanError, match=r"slos\.z: 40 is not among the levels"):
        plans.altered(plan, deployments=["b"], levels="1, 2")


def test_an_slo_that_compares_deployments_goes_with_either(read):
    plan = read(
        BASE
        + "".join(f'[deployments.{name}]\nvariant = "async-httpx"\n' for name in "bc")
        + '[slos]\nx = "p95(a) < p95(b) at 40"\ny = "knee(b) > 2 * knee(c)"\n'
    )
    assert list(plans.altered(plan, deployments=["a", "b"]).slos) == ["x"]
    assert list(plans.altered(plan, deployments=["b", "c"]).slos) == ["y"]
    assert list(plans.altered(plan, deployments=["a", "c"]).slos) == []
    assert list(plans.altered(plan, url="http://127.0.0.1:9000").slos) == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:9000/shop/", "127.0.0.1:9000"),
        ("http://localhost", "localhost:80"),
        ("https://[::1]", "[::1]:443"),
    ],
)
def test_a_url_becomes_the_only_deployment_named_by_host_and_port(url, name):
    plan = plans.altered(plans.default(), url=url)
    assert plan.deployments == {name: plans.UrlDeployment(url=url.rstrip("/"))}
    assert plan.load == plans.default().load


def own_addresses() -> list[str]:
    addresses = [a.address for found in psutil.net_if_addrs().values() for a in found]
    return [a for a in addresses if re.fullmatch(r"[\d.]+", a)]


@pytest.mark.parametrize("host", ["localhost", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_may_be_loaded(host):
    plans.check_host(f"http://{host}:9000", [])
    for address in own_addresses():
        plans.check_host(f"http://{address}:9000", [])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://8.8.8.8/", 'not this machine.*allow_hosts = ."8.8.8.8".*BROWNOUT_ALLOW_HOSTS'),
        ("http://[2001:db8::1]:80/", "not this machine"),
        ("http://[::ffff:8.8.8.8]/", "not this machine"),
        ("http://0.0.0.0:9000", "use 127.0.0.1"),
        ("http://[::]:9000", "use 127.0.0.1"),
        ("http://no-such-host.invalid", "cannot be found"),
        ("http://127.0.0.1@8.8.8.8/", "is not the URL of a service"),
        ("http://8.8.8.8\\@127.0.0.1/", "is not the URL of a service"),
        ("http://127.0.0.1:99999", "is not the URL of a service"),
        ("127.0.0.1:9000", "is not the URL of a service"),
    ],
)
def test_a_host_that_the_plan_does_not_name_is_refused(url, expected):
    with pytest.raises(PlanError, match=expected):
        plans.check_host(url, [])


def test_a_host_that_was_named_may_be_loaded(monkeypatch):
    plans.check_host("http://Stranger.invalid:80", ["other", "stranger.INVALID"])
    with pytest.raises(PlanError):
        plans.check_host("http://stranger.invalid:80", ["invalid", ""])
    monkeypatch.setenv("BROWNOUT_ALLOW_HOSTS", "other, stranger.invalid")
    plans.check_host("http://stranger.invalid:80", [])


def test_only_our_own_braces_are_filled_in_and_python_is_ours():
    words = argv("python -m serve --port {port} --json '{\"a\": {}}' {x}", port=8001, upstream="u")
    assert words == [sys.executable, "-m", "serve", "--port", "8001", "--json", '{"a": {}}', "{x}"]
    assert argv(["sh", "-c", "a && b {upstream}"], port=1, upstream="u")[2] == "a && b u"


def test_a_matrix_of_more_deployments_than_a_plan_may_have_is_refused_before_they_are_made(refused):
    values = list(range(1, 1001))
    matrix = f"matrix = {{ threads = {values}, pool = {values}, workers = {values} }}"
    table = '[deployments.a]\nvariant = "async-httpx"\n'
    message = refused(BASE.replace(table, f"{table}{matrix}\n"))
    assert message == (
        "plan.toml: deployments.a.matrix: gives 1,000,000,000 deployments; a plan has 1,000 at most"
    )


def test_more_deployments_than_a_plan_may_have_are_refused(refused):
    more = "".join(f'[deployments.d{n}]\nvariant = "async-httpx"\n' for n in range(1000))
    assert "are more than 1,000" in refused(BASE + more)


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 50_000, "a\0"])
def test_a_value_that_no_reader_can_hold_is_refused(refused, value):
    assert refused(BASE + f"x = {value}").startswith("plan.toml is not TOML: ")


def test_many_or_long_mistakes_are_cut_short(refused):
    many = "".join(f"[slos.{'x' * 2000}{n}]\n" for n in range(500))
    lines = refused(BASE + many).splitlines()
    assert lines[-1] == f"and {501 - len(lines)} more"
    assert max(map(len, lines)) <= 500
    assert "is not the URL" in refused(
        BASE.replace('variant = "async-httpx"', f'url = "{"x" * 9999}"')
    )
