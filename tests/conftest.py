"""Ports for tests, the order of parallel play, and a guard of what `make test-fast` may do."""

import atexit
import gc
import itertools
import os
import random
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import certifi
import pytest
from hypothesis import settings

from tests.support.no_pictures.vl_convert import EMPTY

# Below the ports that Linux gives to clients, and to servers that ask for any port: nothing takes
# one between the moment in which a test chooses it and its use.
FIRST_PORT, PORTS = 20_000, 12_000
WORKERS = 16  # of pytest-xdist, at most; each has ports of its own

# Modules of more than half a minute, the longest first.
LONGEST = (
    *("test_runs", "test_webui", "test_locustfiles", "test_pytest_plugin", "test_webui_browser"),
    *("test_ci_files", "test_chaos", "test_workers", "test_compare_runs", "test_telemetry"),
    *("test_exit_codes", "test_watcher", "test_own_folder", "test_open_model", "test_egress"),
    *("test_encodings", "test_locust", "test_deployments", "test_fuzz", "test_open_files"),
)

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"}  # audit events
LONG = 0.1  # seconds; `eventually` sleeps for less
ALL_OF_THEM = "\npytestmark = pytest.mark.processes\n"  # in a module: each of its tests starts one
LAST_LINE = "-----END CERTIFICATE-----\n"

# How long an example takes says how busy the machine is: nothing is judged by that here. Laws that
# need more examples than this to find their faults ask for them.
settings.register_profile("brownout", deadline=None, max_examples=50)
settings.load_profile("brownout")

_unmarked = ""  # the test that runs, if it has promised to start no process


def _ports() -> Iterator[int]:
    """The ports of this worker, over and over, from a drawn one: two suites may run at a time."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    share = PORTS // WORKERS
    drawn = random.SystemRandom().randrange(share)
    own = range(FIRST_PORT + worker * share, FIRST_PORT + (worker + 1) * share)
    return itertools.cycle((*own[drawn:], *own[:drawn]))


_own_ports = _ports()


def a_free_port() -> int:
    """A loopback port that nobody listens on."""
    for port in _own_ports:
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError("the ports go round")


def pytest_configure() -> None:
    """
    Whichever way the suite was started: tests interrupt what runs in this process, and the hundreds
    of processes that they start keep bytecode, or each of them would compile every module.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` has it ignored
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    _trust_one_authority()
    gc.disable()  # until all is collected


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """
    Modules and tests stay until the end: no garbage collection looks through them. They are most of
    what there is, and each collection would take longer than most tests.
    """
    gc.freeze()
    gc.enable()


def _trust_one_authority() -> None:
    """
    Clients of httpx in this process trust the first public authority alone. Each would load all of
    them, which takes more CPU than the rest of most tests of a service, and none is ever met.
    """
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition(LAST_LINE)
    descriptor, name = tempfile.mkstemp(suffix=".pem")
    bundle = Path(name)
    os.close(descriptor)
    bundle.write_text(first + end, encoding="utf-8")
    atexit.register(bundle.unlink)
    certifi.where = lambda: str(bundle)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """
    How many modules run at a time. Those that start processes wait for half of their time, so that
    there are two for each core, and one more for each two cores that only computes. Where all of
    them only compute one for each core is enough.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return cores if _only_computes(config) else 2 * cores + cores // 2


def _only_computes(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "not processes")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether a module has no test that is asked for: importing it takes long in each worker."""
    if collection_path.suffix != ".py" or not _only_computes(config):
        return None  # others decide
    return ALL_OF_THEM in collection_path.read_text(encoding="utf-8") or None


@pytest.fixture
def no_collections() -> Iterator[None]:
    """
    No garbage collection, in tests that interrupt this process: hypothesis times collections in a
    function that the interpreter calls, and an exception that is raised in there is lost.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def free_port() -> int:
    return a_free_port()


@pytest.fixture
def other_port() -> int:
    return a_free_port()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Play the modules that take longest first, so that the last ones are short, and those that only
    compute evenly among those that also wait: the cores are never idle then.
    """
    starting = set()
    for item in items:
        if item.get_closest_marker("quiet"):
            item.add_marker("processes")
        if item.get_closest_marker("processes"):
            starting.add(item.path)
    modules = sorted(
        dict.fromkeys(item.path for item in items),
        key=lambda path: LONGEST.index(path.stem) if path.stem in LONGEST else len(LONGEST),
    )
    turns = {}
    for waits in (True, False):
        ordered = [path for path in modules if (path in starting) is waits]
        turns |= {path: place / len(ordered) for place, path in enumerate(ordered)}
    items.sort(key=lambda item: turns[item.path])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    global _unmarked
    _unmarked = "" if item.get_closest_marker("processes") else item.nodeid
    fixtures = getattr(item, "fixturenames", ())
    drawer = _drawn_here("pictures" in fixtures) if _unmarked else nullcontext()
    # A command that a test calls in this process installs its own, some of which end the process.
    handlers = {number: signal.getsignal(number) for number in ENDING}
    try:
        with drawer:
            return (yield)
    finally:
        _unmarked = ""
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _drawn_here(pictures_wanted: bool) -> Iterator[None]:
    """
    Draw charts in this process, where no other may be started for it, in the tests that look at
    them; the others get an empty one. Their fixture is `pictures`.
    """
    from loadtests.report.charts import pictures, vega

    class Here:
        def ask(self, request: dict[str, Any]) -> dict[str, str]:
            if pictures_wanted:
                return vega.answer(request)
            return {"svg": EMPTY} if "chart" in request else {"png": ""}

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_drawer", Here())
        pictures._svg.cache_clear()
        yield


@pytest.fixture(scope="session")
def pictures() -> None:
    """Charts are drawn: see `_drawn_here`."""


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if _unmarked and (event in STARTS or (event == "time.sleep" and arguments[0] > LONG)):
        pytest.fail(
            f"{_unmarked} is part of `make test-fast`, and does {event}{arguments!r:.200}: "
            "mark it with pytest.mark.processes"
        )


sys.addaudithook(_guard)
