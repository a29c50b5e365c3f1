"""The zoo: locustfiles of the shapes that guides teach, all played against one shop.

Here they share a session, in which each of their User classes is there. The knee of each of them is
measured by `tests/benchmarks/zoo.py`.
"""

from pathlib import Path

import pytest

from tests.end_to_end.zoo.service import app
from tests.support.brownout_runs import called, calm
from tests.support.servers import serving

pytestmark = pytest.mark.processes

ZOO = Path(__file__).with_name("zoo")
FILES = sorted(file for file in ZOO.glob("*.py") if file.stem not in ("__init__", "service"))
LEVEL = 40  # users: at least one of each class

ALL = f"""
import importlib.util
from pathlib import Path

from locust import LoadTestShape, User

def classes(path):
    spec = importlib.util.spec_from_file_location("zoo_" + Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {{
        name: kind
        for name, kind in vars(module).items()
        if isinstance(kind, type) and kind.__module__ == module.__name__
        if issubclass(kind, (User, LoadTestShape))
    }}


for path in {[str(file) for file in FILES]!r}:
    globals().update(classes(path))
"""

PLAN = """
name = "zoo"
locustfile = "all.py"
[locust]
options = { think-time = 20 }
exclude_tags = ["danger"]
requests = ["RPC"]
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "all.py").write_text(ALL, encoding="utf-8")
    with serving(app) as first, serving(app) as second, calm():
        (folder / "plan.toml").write_text(
            PLAN + f'[deployments.first]\nurl = "{first}"\n[deployments.second]\nurl = "{second}"\n'
            f'[load]\nlevels = [{LEVEL}]\nsettle = "1s"\nmeasure = "2500ms"\n',
            encoding="utf-8",
        )
        code, invocation = called("run", "plan.toml", "--", "--model=large", cwd=folder)
    assert code == 0, invocation.output
    return invocation


def test_the_zoo_has_twenty_kinds_of_locustfiles_at_least():
    assert len(FILES) >= 20


def test_each_user_class_plays_and_each_user_is_there(played):
    run = played.run()
    for name in ("first", "second"):
        [point] = run.of(name)
        assert point.requests, point.problems
        assert sum(point.users.classes.values()) == pytest.approx(LEVEL)
        assert len(point.users.classes) >= len(FILES)
        assert min(point.users.classes.values()) >= 1


def test_the_requests_of_each_locustfile_are_recorded_without_a_failure(played):
    run = played.run()
    names = {point.request for point in run.points}
    assert names >= {
        *("/things", "/readings", "/readings/1", "/items/[id]", "/search", "/private", "/basket"),
        *("/address", "/pay", "/orders", "/admin", "/missing", "/stream", "add", "/parts"),
        *("/people/[name]", "/chat", "/threads/1"),
    }
    for point in run.points:
        assert point.errors.rate == 0, (point.request, point.errors)


def test_tasks_with_an_excluded_tag_are_not_played(played):
    assert "/things/1" not in {point.request for point in played.run().points}


def test_log_ins_and_own_timings_are_separate(played):
    run = played.run()
    rows = {(one.deployment, one.kind, one.name) for one in run.apart}
    for name in ("first", "second"):
        assert (name, "on_start", "/login") in rows
        assert (name, "timing", "first piece") in rows
    assert not {name for _, _, name in rows} & {point.request for point in run.points}


def test_shapes_are_reported_as_unused_and_exceptions_counted_with_their_line(played):
    told = " ".join(played.run().problems)
    assert "The locustfile's Steps is not played: the plan's levels say" in told
    assert "KeyError: 'price' (cookies_and_errors.py, line 22, in stumble)" in told, told
    assert "Traceback" not in played.output
