"""Whole runs, as a user starts them: real processes, sockets, files, exit codes."""

import json
import shutil
import signal
import sys

import psutil
import pytest
from typer.testing import CliRunner

from loadtests import results
from loadtests.analysis.inputs import cpu, records
from loadtests.cli import commands
from tests.support.brownout_runs import (
    BUDGET,
    LOCUST,
    PICTURES,
    PLAN,
    brownout,
    called,
    calm,
    finished,
    started,
)
from tests.support.servers import eventually, serving

pytestmark = pytest.mark.processes

ONE = ("--deployments", "async")  # where one is enough
MANY = ("--levels", "1,2,4,8,16")  # so that it is not over before something is done to it
FILES = {"slices.jsonl", "samples.jsonl", "plan.toml", "run.json", "report.html", "curves.png"}


@pytest.fixture
def plan(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN, encoding="utf-8")
    return file


def stages(run):
    return sorted((p.deployment, p.level) for p in run.points if p.request == "all")


def measured(run, level):
    """Whether each deployment's point is valid, which on a busy machine it may not be."""
    return {p.deployment: p.valid for p in run.points if (p.request, p.level) == ("all", level)}


SLOS = """
[slos]
few = "errors < 50% at 4"
fast = "p50 < 1ms at 4"
sharp = "p99 < 1s at 1"
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The exit code and the output of a run that nothing disturbs; many tests read its folder."""
    folder = tmp_path_factory.mktemp("complete")
    workers = '"blocking-requests"\nsettings = { workers = 2 }'
    (folder / "plan.toml").write_text(
        PLAN.replace('"blocking-requests"', workers) + SLOS, encoding="utf-8"
    )
    return finished("run", "plan.toml", cwd=folder, **PICTURES)


def folder_of(invocation):
    """The run's folder, which a command prints last."""
    return invocation.cwd / invocation.lines[-1].strip()


def test_a_run_measures_every_level_of_every_deployment_and_writes_its_folder(complete):
    _, invocation = complete
    run = invocation.run()
    assert stages(run) == [("async", 1), ("async", 4), ("threads", 1), ("threads", 4)]
    assert run.status == "complete"
    assert all(point.errors.rate == 0 for point in run.points)
    assert all(point.response_time["mean"].value > 0.02 for point in run.points)
    assert {file.name for file in folder_of(invocation).iterdir()} >= FILES
    assert (folder_of(invocation) / "curves.png").stat().st_size > 10_000  # bytes: it is drawn
    assert "Traceback" not in invocation.output


def test_an_slo_that_is_missed_decides_the_exit_code(complete):
    code, invocation = complete
    good = measured(invocation.run(), 4)
    statuses = {(slo.name, slo.deployment): slo.status for slo in invocation.run().slos}
    assert code == (1 if "missed" in statuses.values() else 3), invocation.output
    for name, valid in good.items():
        # Noise leaves undecided what it can have changed, and nothing else.
        undecided = set() if valid else {"unresolved"}
        assert statuses["few", name] in {"met"} | undecided
        assert statuses["fast", name] in {"missed"} | undecided
        # One user and a second: too few requests for a p99.
        assert statuses["sharp", name] == "unresolved"


def test_each_process_of_a_deployment_reports_its_gauges(complete):
    _, invocation = complete
    told = gauges_of(invocation.cwd)
    assert {name: len(pids) for name, pids in told.items()} == {"threads": 2, "async": 1}
    for processes in told.values():
        assert sum(last["counts"]["calls"] for last in processes.values()) > 10
        assert all(last["loop"]["worst"] >= last["loop"]["lag"] for last in processes.values())
    assert not any("gauges" in problem for problem in invocation.run().problems)


def test_a_run_that_is_analysed_again_stays_as_it_was(complete):
    _, invocation = complete
    run, folder = invocation.run(), folder_of(invocation)
    again, report = called("report", str(folder), cwd=invocation.cwd)
    assert again == 0, report.output
    assert results.read(folder) == run

    words = ("compare", str(folder), str(folder), "--anyway")
    compared, comparison = called(*words, cwd=invocation.cwd)
    assert compared in (0, 3), comparison.output  # short windows have wide intervals
    assert (invocation.cwd / "comparison.html").exists()


CODES = {"WORSE": 1, "UNRESOLVED": 3, "INVALID": 3, "BETTER": 0, "EQUIVALENT": 0}


def test_a_run_is_judged_by_an_older_one_and_stays_so_when_it_is_analysed_again(tmp_path, complete):
    base = tmp_path / "base"
    shutil.copytree(folder_of(complete[1]), base)
    sharp = '[slos]\nsharp = "p99 < 1s at 1"\n'
    (tmp_path / "plan.toml").write_text(PLAN + sharp, encoding="utf-8")
    with calm():  # without a valid level it would be no baseline
        assert called("report", "base", cwd=tmp_path)[0] == 0
        words = ("run", "plan.toml", *ONE, "--baseline", "base", "--margin", "90%")
        code, second = called(*words, cwd=tmp_path)
    run, folder = second.run(), folder_of(second)
    [verdict] = run.verdicts
    assert [slo.status for slo in run.slos] == ["unresolved"]
    assert code == (CODES[verdict.verdict] or 3), second.output  # the SLO is not resolved
    assert (verdict.method, verdict.a, verdict.b, verdict.margin) == (
        "stored",
        "async",
        "async",
        0.9,
    )
    assert "A stored baseline: what changes from run to run" in second.output
    assert f"async against its baseline: {verdict.verdict}." in second.output
    assert f"async against its baseline: {verdict.verdict}" in (folder / "summary.md").read_text(
        encoding="utf-8"
    )
    assert "A stored baseline is the weaker method" in (folder / "report.html").read_text(
        encoding="utf-8"
    )
    assert "comparison.html" in {file.name for file in folder.iterdir()}
    kept = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
    assert kept["run"] == json.loads((base / "run.json").read_text(encoding="utf-8"))

    (folder / "comparison.html").unlink()
    with calm():
        again, report = called("report", str(folder), cwd=tmp_path)
    assert again == 0, report.output
    assert results.read(folder) == run
    assert (folder / "comparison.html").exists()

    page = str(tmp_path / "page.html")
    words = ("compare", str(base), str(folder), "--margin", "90%", "--out", page)
    assert called(*words, cwd=tmp_path)[0] == CODES[verdict.verdict]

    words = ("run", "plan.toml", "--baseline", "base", "--levels", "1")
    refused, other = called(*words, cwd=tmp_path)
    assert refused == 2
    assert "load: levels is [1, 4] in A, [1] in B" in other.output


def gauges_of(cwd):
    """What each process of each deployment told last."""
    told = {}
    for sample in samples_of(cwd):
        for name, processes in sample["gauges"].items():
            told.setdefault(name, {}).update(processes)
    return told


def test_each_repeat_climbs_the_levels_on_new_processes_whose_cpu_is_read(tmp_path, plan):
    text = plan.read_text(encoding="utf-8").replace("measure =", "repeats = 2\nmeasure =")
    plan.write_text(text, encoding="utf-8")
    _, command = called("run", str(plan), "--no-telemetry", cwd=tmp_path)
    folder = folder_of(command)
    played = records.read(folder).stages
    assert [(one.stage.deployment, one.stage.level) for one in played] == [
        ("threads", 1), ("async", 1), ("async", 4), ("threads", 4),
    ] * 2  # fmt: skip
    pids = [set(one.usage.processes[one.stage.deployment]) for one in played]
    assert not set().union(*pids[:4]) & set().union(*pids[4:])
    for one in played:
        name = one.stage.deployment
        assert cpu.per_request(name, [one], 0.0) > 0
        assert one.usage.carried in (0, None)
        assert one.usage.rest.keys() >= {"threads", "async"} - {name}
    logs = {path.name for path in (folder / "logs").iterdir()}
    assert {"threads.log", "threads~2.log", "async.log", "async~2.log"} <= logs


def test_ctrl_c_saves_and_reports_the_results_and_leaves_nothing_behind(tmp_path, plan):
    with brownout("run", "plan.toml", *ONE, *MANY, cwd=tmp_path) as invocation:
        invocation.until("[1/5")
        assert invocation.insist() == 130
    run = invocation.run()
    assert run.status == "interrupted"
    assert len(stages(run)) >= 1
    assert "Traceback" not in invocation.output


def test_a_service_that_dies_is_reported_and_the_others_continue(tmp_path, plan):
    mortal = tmp_path / "mortal.py"
    mortal.write_text(
        "import http.server, sys\n"
        "class Mortal(http.server.SimpleHTTPRequestHandler):\n"
        "    asked = 0\n"
        "    def do_GET(self):\n"
        "        Mortal.asked += 1\n"
        "        if Mortal.asked > 5: print('giving up', flush=True); import os; os._exit(7)\n"
        "        self.send_response(204); self.end_headers()\n"
        "address = '127.0.0.1', int(sys.argv[1])\n"
        "http.server.ThreadingHTTPServer(address, Mortal).serve_forever()\n",
        encoding="utf-8",
    )
    plan.write_text(
        PLAN
        + f'[deployments.mortal]\ncommand = "{sys.executable} {mortal} {{port}}"\nready = "/"\n',
        encoding="utf-8",
    )
    words = ("run", "plan.toml", "--deployments", "async,mortal", "--no-telemetry")
    code, invocation = called(*words, cwd=tmp_path)
    assert code == 4, invocation.output
    assert "deployment 'mortal' ended with exit code 7" in invocation.output
    assert "giving up" in invocation.output
    run = invocation.run()
    assert stages(run).count(("async", 4)) == 1
    assert ("mortal", 4) not in stages(run)
    (last,) = (p for p in run.points if (p.deployment, p.request) == ("mortal", "all"))
    assert not last.valid
    assert "the deployment ended before the window was over" in last.problems
    assert run.plan["telemetry"] is False
    assert not any("gauges" in sample for sample in samples_of(tmp_path))


def test_a_service_that_does_not_start_ends_the_run_before_it_begins(tmp_path, plan):
    bad = "[deployments.bad]\ncommand = \"python -c 'raise SystemExit(9)' {port}\"\n"
    plan.write_text(PLAN + bad, encoding="utf-8")
    words = ("run", "plan.toml", "--deployments", "async,bad")
    code, invocation = called(*words, cwd=tmp_path)
    assert code == 4
    assert "deployment 'bad' ended with exit code 9 while starting" in invocation.output
    assert "Traceback" not in invocation.output


def test_plain_locust_ends_when_its_controller_ends_before_it_is_ready(tmp_path, plan):
    bad = "[deployments.bad]\ncommand = \"python -c 'raise SystemExit(9)' {port}\"\n"
    plan.write_text(PLAN + bad, encoding="utf-8")
    with started([*LOCUST, "--headless", "--plan", "plan.toml"], tmp_path) as invocation:
        assert invocation.end() == 4, invocation.output
    assert "deployment 'bad' ended with exit code 9 while starting" in invocation.output


def test_an_address_without_a_listener_is_reported_before_the_run(tmp_path, plan):
    plan.write_text(PLAN + '[deployments.gone]\nurl = "http://127.0.0.1:9"\n', encoding="utf-8")
    words = ("run", "plan.toml", "--deployments", "async,gone")
    code, invocation = called(*words, cwd=tmp_path)
    assert code == 4
    assert "gone" in invocation.output
    assert "127.0.0.1:9" in invocation.output


def test_a_lost_worker_makes_its_stage_invalid_and_a_lost_generator_ends_the_run(tmp_path, plan):
    words = ("run", "plan.toml", *ONE, "--levels", "4,5,6", "--processes", "2")
    with brownout(*words, "--measure", "2s", cwd=tmp_path) as invocation:
        eventually(lambda: begun(tmp_path))
        locust = invocation.part("locust")
        locust.children()[0].kill()
        invocation.until("[2/3")
        locust.kill()
        assert invocation.end() == 3
    assert "the load generator is gone" in invocation.output
    run = invocation.run()
    assert len(stages(run)) >= 2  # what was measured before is kept
    (first,) = (point for point in run.points if (point.request, point.level) == ("all", 4))
    assert not first.valid, invocation.output
    assert any("generator" in problem for problem in first.problems)


def begun(cwd, stages=1):
    """Whether this many stages have begun."""
    return any(
        f.read_text(encoding="utf-8").count('"begun"') >= stages
        for f in cwd.glob("runs/*/slices.jsonl")
    )


def samples_of(cwd):
    """The lines that a run has written so far."""
    written = "".join(file.read_text(encoding="utf-8") for file in cwd.glob("runs/*/samples.jsonl"))
    whole, _, _ = written.rpartition("\n")  # the last line may be half a line
    return [json.loads(line) for line in whole.splitlines()]


def test_a_mock_that_is_held_up_makes_its_point_invalid_and_sigterm_ends_a_run_as_ctrl_c_does(
    tmp_path, plan
):
    def arrivals():
        return [one["mock"]["arrivals"] for one in samples_of(tmp_path) if one["mock"]]

    def unanswered():
        return sum(one["mock"] is None for one in samples_of(tmp_path))

    plan.write_text(PLAN.replace(BUDGET, ""), encoding="utf-8")
    words = ("run", "plan.toml", *ONE, "--levels", "4,5", "--measure", "3s")
    with brownout(*words, cwd=tmp_path) as invocation:
        eventually(lambda: max(arrivals(), default=0) > 10)
        mock = invocation.part("mock_upstream")
        before = unanswered()
        mock.suspend()
        eventually(lambda: unanswered() >= before + 2)
        mock.resume()
        eventually(lambda: begun(tmp_path, stages=2))
        invocation.process.terminate()
        assert invocation.end() == 130
    run = invocation.run()
    assert run.status == "interrupted"
    (found,) = (point for point in run.points if (point.request, point.level) == ("all", 4))
    assert not found.valid
    assert "the mock upstream was the bottleneck" in "; ".join(found.problems)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "plan.toml", "--levels", "0"], "0"),
        (["run", "plan.toml", "--model", "opne"], "is not closed or open"),
        (["run", "plan.toml", "--deployments", "asink"], "async"),
        (["report", "."], "slices.jsonl"),
        (["compare", ".", "."], "run.json"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(tmp_path, plan, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(commands.app, words)
    assert ended.exit_code == 2, ended.output
    assert says in ended.output
    assert isinstance(ended.exception, SystemExit)


def test_a_mistake_of_a_process_leaves_no_traceback(tmp_path):
    code, invocation = finished("run", "nowhere.toml", cwd=tmp_path)
    assert code == 2, invocation.output
    assert "nowhere.toml" in invocation.output
    assert "Traceback" not in invocation.output


def test_a_dry_run_starts_nothing(tmp_path, plan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(commands.app, ["run", "plan.toml", "--dry-run"])
    assert ended.exit_code == 0
    assert "4 stages" in ended.output
    assert not (tmp_path / "runs").exists()


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_the_users_own_locustfile_keeps_its_tasks(tmp_path, plan):
    own = tmp_path / "own_tasks.py"
    own.write_text(
        "from locust import FastHttpUser, HttpUser, constant, task\n"
        "class Shopper(FastHttpUser):\n"
        "    wait_time = constant(0.01)\n"
        "    @task\n"
        "    def shop(self):\n"
        "        self.client.get('/basket')\n"
        "        self.client.get('/pay', name='paying')\n",
        encoding="utf-8",
    )
    with serving(hello) as first, serving(hello) as second:
        plan.write_text(
            'name = "own"\nlocustfile = "own_tasks.py"\n'
            f'[deployments.first]\nurl = "{first}"\n[deployments.second]\nurl = "{second}"\n'
            '[load]\nlevels = [2]\nsettle = "250ms"\nmeasure = "1s"\n'
            '[slos]\nfew = "errors < 50% at 2"\n',
            encoding="utf-8",
        )
        with calm():  # an invalid point would leave the SLO unresolved
            code, invocation = called("run", "plan.toml", cwd=tmp_path)
    assert code == 0, invocation.output
    assert [slo.status for slo in invocation.run().slos] == ["met", "met"]
    found = {(p.deployment, p.request) for p in invocation.run().points if p.requests > 10}
    assert found == {
        (deployment, request)
        for deployment in ("first", "second")
        for request in ("/basket", "paying", "all")
    }


def test_plain_locust_plays_the_plan_and_names_a_mock_later_than_its_profile_allows(tmp_path, plan):
    plan.write_text(PLAN.replace(BUDGET, 'budget = { late = "0.001ms" }'), encoding="utf-8")
    words = [*LOCUST, "--headless", "--only-summary", "--plan", "plan.toml", "--levels", "2"]
    with started(words, tmp_path) as invocation:
        assert invocation.end() in (0, 3), invocation.output  # 3: other work on this machine
    [folder] = (tmp_path / "runs").iterdir()
    run = results.read(folder)
    assert stages(run) == [("async", 2), ("threads", 2)]
    for point in run.points:
        assert "answers were more than 0.001 ms late" in "; ".join(point.problems)
    assert "0.001 ms late" in invocation.output


def test_plain_locust_with_a_host_measures_that_host(tmp_path, plan):
    with serving(hello) as url:
        words = [*LOCUST, "--headless", "--only-summary", "--plan", "plan.toml", "--levels", "4"]
        with started([*words, "--host", url], tmp_path) as invocation:
            assert invocation.end() in (0, 3), invocation.output  # 3: other work on this machine
    run = results.read(next((tmp_path / "runs").iterdir()))
    assert stages(run) == [(url.removeprefix("http://"), 4)]


@pytest.mark.parametrize(
    "words", [["--host", "http://example.org"], ["--levels", "1.5"], ["--plan", "nowhere"]]
)
def test_plain_locust_refuses_invalid_values_of_a_plan(tmp_path, plan, words):
    with started([*LOCUST, "--headless", "--plan", "plan.toml", *words], tmp_path) as invocation:
        assert invocation.end() == 2, invocation.output
    assert "Traceback" not in invocation.output


def test_a_port_in_use_is_reported_with_a_hint(plan):
    with serving(hello) as url:
        ended = CliRunner().invoke(commands.app, ["ui", str(plan), "--port", url.rsplit(":", 1)[1]])
    assert ended.exit_code == 2
    assert "--port" in ended.output


def test_nothing_is_left_when_it_is_interrupted_while_starting(tmp_path, plan):
    with brownout("run", "plan.toml", cwd=tmp_path) as invocation:
        eventually(lambda: len(invocation.left_behind()) > 1)
        assert psutil.pid_exists(invocation.process.pid)
        invocation.interrupt()
        assert invocation.end() == 130
    assert "Traceback" not in invocation.output


def test_nothing_is_left_when_it_is_killed_together_with_its_load_generator(tmp_path, plan):
    workers = '"async-aiohttp"\nsettings = { workers = 2 }'
    served = f"{sys.executable} -m http.server {{port}} --bind 127.0.0.1; true"
    mine = f'''
[deployments.mine]
command = ["sh", "-c", "{served}"]
ready = "/"
stop = ["touch", "{tmp_path}/cleaned"]
'''
    plan.write_text(PLAN.replace('"async-aiohttp"', workers) + mine, encoding="utf-8")
    with brownout("run", "plan.toml", "--processes", "2", cwd=tmp_path) as invocation:
        eventually(lambda: begun(tmp_path))
        running = [" ".join(process.cmdline()) for process in invocation.left_behind()]
        for part in ("locust", "mock_upstream", "app_under_test", "http.server"):
            assert any(part in words for words in running), running
        invocation.part("locust").kill()
        invocation.process.kill()
        assert invocation.end() == -signal.SIGKILL
    assert (tmp_path / "cleaned").exists()
