"""What a command imports before it answers: a mistyped option does not wait for scipy."""

import subprocess
import sys
from importlib.metadata import version

import pytest

pytestmark = pytest.mark.processes

SCRIPT = """
import sys
from {package}.__main__ import main
sys.argv[1:] = {words!r}
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
ALWAYS = {
    "loadtests",
    "loadtests.__main__",
    "loadtests.analysis",
    "loadtests.analysis.verdicts",
    "loadtests.analysis.verdicts.metrics",
    "loadtests.characters",
    "loadtests.cli",
    "loadtests.cli.capacity",
    "loadtests.cli.claims",
    "loadtests.cli.commands",
    "loadtests.cli.compare",
    "loadtests.cli.console",
    "loadtests.cli.control",
    "loadtests.cli.doctor",
    "loadtests.cli.init",
    "loadtests.cli.options",
    "loadtests.cli.output",
    "loadtests.cli.playing",
    "loadtests.cli.report",
    "loadtests.cli.run",
    "loadtests.cli.selfcheck",
    "loadtests.cli.ui",
    "loadtests.cli.usage",
    "loadtests.exit_codes",
    "loadtests.processes",
    "loadtests.processes.interrupts",
    "loadtests.processes.open_files",
    "loadtests.override_table",
    "mock_upstream",
    "mock_upstream.exit_signals",
    "mock_upstream.standard_streams",
}
VERSION = {"mock_upstream.version"}
HEAVY = {"numpy", "scipy", "locust", "gevent", "httpx", "httpx2", "aiohttp", "requests"}
HEAVY |= {"fastapi", "starlette", "uvicorn", "jinja2", "vl_convert", "rich.progress"}
ALL = """
import importlib, pkgutil, sys
import loadtests
for module in pkgutil.walk_packages(loadtests.__path__, "loadtests."):
    parts = module.name.split(".")
    if parts[1] not in ("engine", "locustfile", "__main__", "pytest_plugin"):
        importlib.import_module(module.name)
print(*sys.modules, file=sys.stderr)
"""


def imported(script: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """How a Python with that script ended, and the names of the modules that it had loaded."""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8")
    return ended, set(ended.stderr.splitlines()[-1].split())


def called(*words: str, package: str = "loadtests") -> tuple[int, str, set[str]]:
    ended, modules = imported(SCRIPT.format(package=package, words=list(words)))
    return ended.returncode, ended.stdout + ended.stderr, modules


def ours(modules: set[str]) -> set[str]:
    packages = ("loadtests", "mock_upstream", "app_under_test")
    return {name for name in modules if name.split(".")[0] in packages}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--help"], 0, "capacity"),
        ([], 2, "capacity"),
        (["compare", "--help"], 0, "p50, p95, p99, throughput, cpu, memory"),
        (["run", "--levles", "1"], 2, "--levles"),
        (["capacity", "--within"], 2, "--within"),
        (["rnu"], 2, "rnu"),
    ],
)
def test_help_and_a_mistyped_option_load_the_command_line_only(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, says: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended, output, modules = called(*words)
    assert (ended, says in output) == (code, True), output
    assert ours(modules) == ALWAYS
    assert not modules & HEAVY


def test_the_version_is_that_of_the_package_and_loads_no_more() -> None:
    code, output, modules = called("--version")
    assert (code, output.splitlines()[0]) == (0, f"brownout {version('brownout')}")
    assert ours(modules) == ALWAYS | VERSION
    assert not modules & (HEAVY | {"pydantic"})


def test_the_mock_prints_the_same_version() -> None:
    code, output, _ = called("--version", package="mock_upstream")
    assert (code, output.splitlines()[0]) == (0, f"brownout {version('brownout')}")


@pytest.mark.parametrize("plan", ["default", "quick", "stall"])
def test_a_dry_run_loads_no_statistics_and_nothing_that_measures(plan: str) -> None:
    code, output, modules = called("run", plan, "--dry-run")
    assert code == 0
    assert " stages, at most " in output
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("loadtests.report")}
    assert not modules & {
        "loadtests.session",
        "loadtests.analysis.runs",
        "loadtests.run.controller",
    }


def test_a_plan_that_is_refused_loads_no_more_than_a_dry_run() -> None:
    code, output, modules = called("run", "defualt")
    assert code == 2
    assert "defualt" in output
    assert not modules & HEAVY


def test_no_module_of_the_harness_loads_the_slow_halves_of_scipy_and_numpy() -> None:
    ended, modules = imported(ALL)
    assert ended.returncode == 0, ended.stderr
    assert {"loadtests.session", "loadtests.selfcheck", "loadtests.claims.measurements"} <= modules
    slow = {"scipy.stats", "scipy.optimize", "scipy.interpolate", "scipy.spatial", "scipy.ndimage"}
    slow |= {"numpy.testing", "numpy.f2py", "numpy.ma"}
    assert not modules & slow


FROZEN = """
import atexit, gc, runpy, sys
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count(), file=sys.stderr))
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


PLAIN_LOCUST = ["-f", "loadtests/locustfile.py", "--headless", "--plan", "no-such-plan"]


@pytest.mark.parametrize(
    ("module", "words", "code"),
    [
        ("loadtests", ["--version"], 0),
        ("loadtests.engine", ["--version"], 0),
        ("locust", PLAIN_LOCUST, 2),
    ],
)
def test_no_garbage_collection_looks_through_what_a_process_imported_at_its_end(
    module: str, words: list[str], code: int
) -> None:
    started = [sys.executable, "-c", FROZEN.format(module=module), *words]
    ended = subprocess.run(started, capture_output=True, encoding="utf-8", timeout=60)
    assert ended.returncode == code, ended.stderr
    enabled, count = ended.stderr.splitlines()[-1].split()
    assert enabled == "True"
    assert int(count) > 10_000  # objects
