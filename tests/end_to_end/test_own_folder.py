"""The folder where one starts may have modules with the names of ours, of Locust's, of Python's."""

import contextlib
import sys

import httpx
import pytest

import mock_upstream
from tests.support.brownout_runs import LOCUST, started

pytestmark = pytest.mark.processes

PACKAGES = ("loadtests", "mock_upstream", "app_under_test", "locust", "gevent", "zmq", "flask")
MODULES = ("random", "queue", "html", "calendar", "secrets", "statistics", "typing", "uvicorn")
OWN = """
import calendar  # the standard library's, which Locust has imported
import helper  # of this folder
from locust import FastHttpUser, constant, task
from library import rare


class Shopper(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def shop(self):
        import late

        assert helper.NAME + rare.NAME + late.NAME == "helper rare late "
        self.client.get("/external-data")
"""
PLAN = """
name = "own-folder"
locustfile = "loadtests.py"
[deployments.async]
variant = "async-aiohttp"
[load]
levels = [1]
settle = "250ms"
measure = "1s"
"""


@pytest.fixture
def folder(tmp_path):
    """A project in which everything has a name that something else has, too."""
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            f"raise RuntimeError('own {name}')\n", encoding="utf-8"
        )
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(
            f"raise RuntimeError('own {name}')\n", encoding="utf-8"
        )
    (tmp_path / "library").mkdir()
    for path in ("helper", "late", "library/rare"):
        (tmp_path / f"{path}.py").write_text(
            f"NAME = {path.rpartition('/')[2] + ' '!r}\n", encoding="utf-8"
        )
    (tmp_path / "loadtests.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    return tmp_path


def safely(words):
    """Start Python without the folder in its path, as a console script does."""
    return [sys.executable, "-P", *words]


def plays(words, folder):
    with started(safely(words), folder) as invocation:
        code = invocation.end()
    (kept,) = (folder / "runs").iterdir()
    log = "".join(file.read_text(encoding="utf-8") for file in (kept / "logs").iterdir())
    assert code in (0, 3), invocation.output + log  # 3: other work on this machine
    assert "RuntimeError" not in invocation.output + log
    assert "AssertionError" not in log


def test_brownout_and_all_that_it_starts_are_themselves(folder):
    plays(["-m", "loadtests", "run", "plan.toml", "--processes", "2"], folder)


def test_plain_locust_and_its_controller_are_themselves(folder):
    plays([*LOCUST[1:], "--headless", "--only-summary", "--plan", "plan.toml"], folder)


def test_the_mock_of_a_test_suite_is_itself(folder):
    with contextlib.chdir(folder), mock_upstream.running(latency="1ms") as upstream:
        assert httpx.get(upstream.url, trust_env=False).status_code == 200


def test_a_project_with_a_package_called_loadtests_runs_its_tests_and_brownout(tmp_path):
    for name in ("loadtests", "app_under_test"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n", encoding="utf-8")
    (tmp_path / "test_shop.py").write_text(SUITE, encoding="utf-8")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    with started([sys.executable, *words], tmp_path) as invocation:
        code = invocation.end()
    assert code == 0, invocation.output
    for name in ("typing", "pathlib", "json", "html"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('own')\n", encoding="utf-8")
    with started([sys.executable, "-m", "brownout", "--version"], tmp_path) as invocation:
        assert invocation.end() == 0, invocation.output


SUITE = """
import sys

import app_under_test
import loadtests
import pytest

from brownout import Telemetry


@pytest.mark.mock_upstream("20ms", budget={"late": "1m", "lag": "1m", "cpu": 1.0})
def test_checkout(brownout, mock_upstream):
    assert loadtests.MINE and app_under_test.MINE
    assert Telemetry.__module__.startswith("brownout")
    found = brownout.holds(
        "errors < 100% at 1", url=mock_upstream.url, path="/", settle="0s", measure="1s"
    )
    assert found.points[0].level == found["points"][0]["level"] == 1
"""
