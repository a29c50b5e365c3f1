"""Locustfiles that end a run, or whose options and events are not as they should be."""

import json

import pytest

from loadtests.analysis.inputs import records
from tests.support.brownout_runs import called, calm, finished
from tests.support.servers import serving

pytestmark = pytest.mark.processes

USER = """
from locust import FastHttpUser, constant, events, task


class Visitor(FastHttpUser):
    wait_time = constant(0.02)

    @task
    def look(self):
        self.client.get("/")
"""
OPTIONS = """

@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--apikey", env_var="APIKEY", required=True, help="Of the gateway")
"""


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def play(tmp_path):
    """Plays a locustfile at two levels of half a second; the exit code and what was printed."""

    def playing(code, *words, extra="", run=called, **env):
        (tmp_path / "users.py").write_text(code, encoding="utf-8")
        with serving(hello) as url:
            (tmp_path / "plan.toml").write_text(
                f'name = "own"\nlocustfile = "users.py"\n{extra}\n[deployments.there]\n'
                f'url = "{url}"\n[load]\nlevels = [1, 2]\nsettle = "250ms"\nmeasure = "1s"\n',
                encoding="utf-8",
            )
            with calm():
                return run("run", "plan.toml", *words, cwd=tmp_path, **env)

    return playing


def test_a_handler_of_test_start_that_fails_ends_the_run_with_its_line(play):
    code, invocation = play(
        USER
        + "\n@events.test_start.add_listener\ndef token(environment, **_):\n"
        + '    raise LookupError(f"no token at {environment.host}")\n'
    )
    assert code == 2
    assert "the locustfile's handler of test_start failed: LookupError: no token at http://" in (
        invocation.output
    )
    assert "(users.py, line 14, in token)" in invocation.output
    assert "Traceback" not in invocation.output


def test_a_handler_that_fails_later_keeps_the_results_and_exits_with_3(play):
    code, invocation = play(
        USER
        + "\nstarts = []\n\n@events.test_start.add_listener\ndef again(**_):\n"
        + "    starts.append(1)\n    assert len(starts) < 2, 'only once'\n"
    )
    assert code == 3, invocation.output
    assert "handler of test_start failed: AssertionError: only once (users.py" in invocation.output
    [point] = invocation.run().of("there")
    assert point.level == 1
    assert point.requests


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("event", ["test_stop", "quitting"])
def test_a_failing_handler_at_the_end_is_reported_and_the_run_exits_with_3(play, event, processes):
    last = "len(stops) == 2" if event == "test_stop" else "True"
    code, invocation = play(
        USER
        + f"\nstops = []\n\n@events.{event}.add_listener\ndef store(environment, **_):\n"
        + f"    stops.append(1)\n    if {last}:\n        raise OSError('no room on the shelf')\n",
        *(["--processes", str(processes)] if processes > 1 else []),
    )
    assert code == 3, invocation.output
    said = f"the locustfile's handler of {event} failed: OSError: no room on the shelf (users.py, "
    assert said in " ".join(invocation.output.split())
    assert "Traceback" not in invocation.output
    points = invocation.run().of("there")
    assert [point.level for point in points] == [1, 2]
    assert all(point.requests for point in points)


def test_an_exit_code_of_the_locustfile_is_reported_and_the_run_exits_with_1(play):
    code, invocation = play(
        USER
        + "\n@events.quitting.add_listener\ndef check(environment, **_):\n"
        + "    if environment.stats.total.num_requests > 1:\n"
        + "        environment.process_exit_code = 5\n"
    )
    assert code == 1, invocation.output
    assert "the locustfile sets Locust's process_exit_code to 5" in invocation.output


def test_handlers_of_the_end_have_the_time_that_they_need(play):
    code, invocation = play(
        USER.replace("from locust", "import pathlib\nimport time\n\nfrom locust", 1)
        + "\n@events.quitting.add_listener\ndef store(**_):\n"
        + "    time.sleep(4)\n    pathlib.Path('stored').touch()\n",
        run=finished,
    )
    assert code in (0, 3), invocation.output  # 3: other work on this machine
    assert (invocation.cwd / "stored").exists()


def test_a_locustfile_that_quits_the_runner_keeps_the_results_and_exits_with_3(play):
    code, invocation = play(
        USER.replace(
            '        self.client.get("/")\n',
            '        self.client.get("/")\n        if self.environment.runner.user_count == 2:\n'
            "            self.environment.runner.quit()\n",
        )
    )
    assert code == 3, invocation.output
    assert "the locustfile ended the test (users.py, line 12, in look)" in invocation.output
    first, *others = invocation.run().of("there")
    assert first.level == 1
    assert first.requests
    assert not any(point.valid for point in others), others


def test_a_handler_that_quits_the_runner_is_named_with_its_line(play):
    code, invocation = play(
        USER
        + "\nstarts = []\n\n@events.test_start.add_listener\ndef enough(environment, **_):\n"
        + "    starts.append(1)\n    if len(starts) == 2:\n        environment.runner.quit()\n"
    )
    assert code == 3, invocation.output
    said = "the locustfile ended the test (users.py, line 18, in enough)"
    assert said in " ".join(invocation.output.split())


def test_a_greenlet_of_a_task_that_ends_the_process_is_told_with_its_line(play):
    code, invocation = play(
        "import gevent\n"
        + USER.replace(
            '        self.client.get("/")\n',
            '        self.client.get("/")\n        if self.environment.runner.user_count == 2:\n'
            "            gevent.spawn(self.leave)\n\n    def leave(self):\n"
            "        raise SystemExit(7)\n",
        )
    )
    assert code == 3, invocation.output
    said = "the locustfile ended the load generator: SystemExit: 7 (users.py, line 16, in leave)"
    assert said in invocation.output
    assert invocation.run().of("there")[0].requests


def test_users_that_never_leave_on_start_give_no_result(play):
    code, invocation = play(
        USER.replace(
            "    @task", "    def on_start(self):\n        self.key = {}['key']\n\n    @task"
        )
    )
    assert code == 3, invocation.output
    said = " ".join(invocation.output.split())
    assert "the level was not held: 0 of 1 user ran" in said
    assert "KeyError: 'key' (users.py, line 9, in on_start)" in said


def test_an_option_that_locust_has_itself_is_named_without_a_traceback(play):
    code, invocation = play(USER + OPTIONS.replace("--apikey", "--users"))
    assert code == 2
    assert "ArgumentError: argument --users: conflicting option string" in invocation.output
    assert "Locust has an option of this name itself" in invocation.output
    assert "raise ArgumentError" not in invocation.output


def test_a_handler_of_init_that_needs_the_host_gets_a_hint(play):
    code, invocation = play(
        USER + "\n@events.init.add_listener\ndef token(environment, **_):\n"
        "    environment.host + '/token'\n"
    )
    assert code == 2
    assert "environment.host is not known before the first stage: do this in test_start" in (
        invocation.output
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_tags_that_leave_a_user_no_task_are_refused_at_once(play, processes):
    words = ["--processes", "2"] if processes > 1 else []
    code, invocation = play(USER, *words, extra='[locust]\ntags = ["nowhere"]')
    assert code == 2, invocation.output
    assert "Visitor of the locustfile has no task to play" in invocation.output


def test_a_missing_required_option_has_the_message_of_locust(play):
    code, invocation = play(USER + OPTIONS)
    assert code == 2
    assert "the following arguments are required: --apikey" in invocation.output


@pytest.mark.parametrize("way", ["plan", "typed"])
def test_own_options_come_from_the_plan_or_the_command_line_and_no_record_has_a_secret(play, way):
    read = USER + OPTIONS + (
        "\n\n@events.test_start.add_listener\ndef check(environment, **_):\n"
        '    assert environment.parsed_options.apikey == "s3cr3t-of-mine"\n'
    )  # fmt: skip
    extra = '[locust]\noptions = { apikey = "s3cr3t-of-mine" }' if way == "plan" else ""
    words = [] if way == "plan" else ["--", "--apikey", "s3cr3t-of-mine"]
    code, invocation = play(read, "--levels", "1", *words, extra=extra)
    assert code == 0, invocation.output
    folder = invocation.cwd / invocation.lines[-1].strip()
    found = [file for file in folder.rglob("*") if file.is_file()]
    if way == "plan":
        assert not [file for file in found if b"s3cr3t-of-mine" in file.read_bytes()]


def test_a_comparison_passes_own_options_from_the_command_line(tmp_path):
    read = USER + OPTIONS + (
        "\n\n@events.test_start.add_listener\ndef check(environment, **_):\n"
        '    raise LookupError("got " + environment.parsed_options.apikey)\n'
    )  # fmt: skip
    (tmp_path / "users.py").write_text(read, encoding="utf-8")
    with serving(hello) as one, serving(hello) as other:
        (tmp_path / "plan.toml").write_text(
            'name = "own"\nlocustfile = "users.py"\n[deployments]\n'
            f'one.url = "{one}"\nother.url = "{other}"\n[load]\nlevels = [2]\n',
            encoding="utf-8",
        )
        words = ["compare", "one", "other", "--plan", "plan.toml"]
        code, invocation = called(*words, "--", "--apikey", "mine", cwd=tmp_path)
    assert code == 2
    assert "handler of test_start failed: LookupError: got mine" in invocation.output


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import locust\n", "users.py has no User class that can be played"),
        ("from locust import task\nimport nowhere_at_all\n", "nowhere_at_all"),
        ("print('set TOKEN first')\nraise SystemExit(0)\n", "set TOKEN first"),
        (USER + "\n\nimport locust\n\nlocust.run_single_user(Visitor)\n", "run_single_user when"),
    ],
)
def test_a_locustfile_that_cannot_be_played_is_refused(play, code, said):
    ended, invocation = play(code)
    assert ended == 2
    assert said in invocation.output


def test_words_after_a_plan_without_a_locustfile_are_refused(tmp_path):
    code, invocation = called("run", "quick", "--", "--apikey", "x", cwd=tmp_path)
    assert code == 2
    assert "this plan has none" in invocation.output


EVENTS = """

seen = []


def write(event, environment):
    with open("events.jsonl", "a", encoding="utf-8") as file:
        name = type(environment.runner).__name__
        print(json.dumps([event, environment.host, name, len(seen)]), file=file)


@events.test_start.add_listener
def start(environment, **_):
    seen.clear()
    write("start", environment)


@events.test_stop.add_listener
def stop(environment, **_):
    write("stop", environment)


@events.request.add_listener
def request(name, **_):
    seen.append(name)
"""


def test_each_stage_is_a_test_of_its_own_on_each_node_with_the_host_of_its_deployment(play):
    code, invocation = play("import json\n" + USER + EVENTS, "--processes", "2", run=finished)
    assert code in (0, 3), invocation.output  # 3: other work on this machine
    folder = invocation.cwd / invocation.lines[-1].strip()
    record = records.read(folder)
    target = record.stages[0].stage.target
    lines = (invocation.cwd / "events.jsonl").read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line) for line in lines]
    assert {host for _, host, _, _ in seen} == {target}
    for node, times in (("MasterRunner", 2), ("WorkerRunner", 4)):
        those = [event for event, _, name, _ in seen if name == node]
        assert those.count("start") == those.count("stop") == times
    assert all(stage.complete for stage in record.stages)
    counted = [sum(done.users.least for done in stage.dones.values()) for stage in record.stages]
    assert counted == [1, 2]


def test_a_failing_handler_of_init_is_reported_before_the_first_stage(play):
    code, invocation = play(
        USER
        + "\n@events.init.add_listener\ndef warm(**_):\n    raise OSError('nothing is there')\n"
    )
    assert code == 2, invocation.output
    assert "handler of init failed: OSError: nothing is there (users.py, line 14, in warm)" in (
        invocation.output
    )
