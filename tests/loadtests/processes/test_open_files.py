"""Descriptors: what is started may have more than a shell gives, and who lacks them says so."""

import asyncio
import errno
import os
import resource
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadtests.engine.failures import kind_of
from loadtests.processes import open_files
from loadtests.storage import run_folder
from tests.support.brownout_runs import COMMAND, started
from tests.support.servers import serving

pytestmark = pytest.mark.processes

USERS = 1150  # more than `select` can tell apart
PLAN = """
name = "crowd"
[deployments.there]
url = "{url}"
[[requests]]
path = "/"
timeout = "20s"
[load]
levels = [{users}]
settle = "{settle}"
measure = "{measure}"
think_time = "{think_time}"
"""


@pytest.fixture
def many_files():
    """The number of open files that the server of this process needs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, open_files.limits())
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Service:
    """Answers after a second and counts the requests of each connection."""

    def __init__(self):
        self.requests = Counter()

    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        self.requests[tuple(scope["client"])] += 1
        await asyncio.sleep(1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


def run(folder, limit, **load):
    """The service's view of a run that is started by a shell with this limit, and its point."""
    service = Service()
    with serving(service) as url:
        (folder / "plan.toml").write_text(PLAN.format(url=url, **load), encoding="utf-8")
        command = f"ulimit {limit}; exec {shlex.join([*COMMAND, 'run', 'plan.toml'])}"
        with started(["bash", "-c", command], folder) as invocation:
            invocation.end()
            return service, invocation.run().of("there")[0]


def test_more_users_than_select_can_tell_apart_keep_their_connections(tmp_path, many_files):
    service, point = run(
        tmp_path, "-Sn 256", users=USERS, settle="1s", measure="3s", think_time="1s"
    )
    assert point.errors.rate == 0
    requests = [count for (host, _), count in service.requests.items() if host == "127.0.0.1"]
    # A generator that did not know that a connection is alive would open one for each request.
    assert len(requests) <= USERS + 10, len(requests)
    assert sum(requests) > 1.8 * USERS


def test_a_generator_that_is_out_of_descriptors_makes_its_point_invalid(tmp_path):
    _, point = run(tmp_path, "-n 150", users=200, settle="0s", measure="1s", think_time="500ms")
    assert point.errors.kinds["out of descriptors"] > 0
    assert not point.valid
    assert "the load generator ran out of file descriptors" in point.problems[0]


def test_started_processes_have_the_largest_limit_of_open_files():
    code = (
        "import sys, resource; from pathlib import Path;"
        "from loadtests.processes.groups import ProcessGroup, stop;"
        "log = Path(sys.argv[1]); ask = 'ulimit -Sn';"
        "group = ProcessGroup(['bash', '-c', ask], {}, None, log); group.wait(10); stop([group]);"
        "print(log.read_text())"
    )
    words = shlex.join([sys.executable, "-c", code])
    told = subprocess.run(
        ["bash", "-c", f"ulimit -Sn 300; {words} $(mktemp)"],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=30,
    )
    assert int(told.stdout) == min(open_files.limits()[0], open_files.ENOUGH)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(24, "out of descriptors"), (23, "out of descriptors"), (99, "out of ports")],
)
def test_missing_descriptors_of_the_generator_are_a_kind_of_failure(number, kind):
    assert kind_of(OSError(number, "no"), None) == kind


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_process_without_descriptors_says_how_to_raise_the_limit(number):
    error = OSError(number, os.strerror(number))
    assert "ran out of file descriptors" in str(open_files.exhausted(error))
    assert "ulimit -n" in str(run_folder.failed(Path("runs/x"), error))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, ""), ValueError(errno.EMFILE)])
def test_other_errors_do_not_mention_descriptors(error):
    assert open_files.exhausted(error) is None


def test_a_full_disk_is_reported_with_a_hint():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "Make room" in str(run_folder.failed(Path("runs/x"), error))
