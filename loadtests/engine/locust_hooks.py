"""Hooks the engine into Locust: options, recorder, barrier, the web form."""

import atexit
import signal
import sys
import sysconfig
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import User, events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from locust.util.load_locustfile import load_locustfile

from loadtests import plans
from loadtests.engine import egress, keepalive, options, stamps, webui, workers
from loadtests.engine.arrivals import Share
from loadtests.engine.conductor import END, GO, PREPARE, READY, REPORT, StageBarrier
from loadtests.engine.egress import Egress
from loadtests.engine.generator import Generator
from loadtests.engine.link import ControllerFailed, EngineSocket, connect
from loadtests.engine.stamps import STAMPS
from loadtests.engine.users import PlanUser
from loadtests.plans import overrides, placeholders
from loadtests.plans.deployments import UrlDeployment
from loadtests.recording.messages import Message, Stage
from mock_upstream import exit_signals

OWN_TASKS_STOP = 60.0  # seconds that a task of the user's own may take to end after its stage
CONNECTING = 5.0  # seconds in which workers mostly connect


def install() -> dict[str, type[User]]:
    """
    Hook everything in; returns the User classes that take part, by name.

    They are ours, which play the plan's requests, or those of the user's own locustfile when the
    plan names one.
    """
    atexit.register(exit_signals.ignore_until_exit)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        path = options.plan_path()
        plan = plans.read(path)
    except plans.PlanError as error:
        _give_up(error)
    keepalive.install()
    urls = [one.url for one in plan.deployments.values() if isinstance(one, UrlDeployment)]
    guard = egress.install(plan.allow_hosts, urls)
    workers.install(guard.allow)

    def add_options(parser: Any, **_: Any) -> None:
        _put_standard_library_first()  # Locust changes the path until it has read the locustfile
        options.add(parser, plan)
        workers.watch(parser)

    def start(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
        if plan.locustfile is not None:
            environment.stop_timeout = OWN_TASKS_STOP
        if not isinstance(runner, MasterRunner):
            _add_generator(environment, runner, guard)
        if not isinstance(runner, WorkerRunner):
            link = _add_conductor(environment, runner, path, plan, guard, web_ui is not None)
            if web_ui is not None:
                guard.allow(web_ui.host)  # its server looks it up
                webui.install(environment, web_ui, plan, link, guard)
            link.listen()
        if isinstance(runner, MasterRunner):
            _await_workers(runner, environment.parsed_options)

    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(start)
    if plan.locustfile is None:
        return {PlanUser.__name__: PlanUser}
    stamps.install()
    classes = _own_users(plan.locustfile)
    for kind in classes.values():
        kind.host = overrides.PLANNED  # the form would take their own for one that was typed
    return classes


def _own_users(locustfile: Path) -> dict[str, type[User]]:
    """Return the User classes of a locustfile, by name, whatever the file is called."""
    name = locustfile.stem
    before = sys.modules.get(name)
    classes, _ = load_locustfile(str(locustfile))
    if before is not None:  # Locust gives the name of a `random.py` to the locustfile
        sys.modules[name] = before
    return classes


def _put_standard_library_first() -> None:
    """
    Locust puts the folder where it was started first: a `queue.py` there would take the place of
    the standard library's for whatever is imported from now on.
    """
    places = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    places |= {place / "lib-dynload" for place in places}
    sys.path.sort(key=lambda entry: Path(entry) not in places)


def _give_up(error: plans.PlanError) -> None:
    print(error, file=sys.stderr)
    sys.exit(2)


def _await_workers(runner: MasterRunner, options: Any) -> None:
    """
    Wait until the workers that a test without a form needs are connected.

    Locust waits for them, too, but looks once a second: the test would begin up to a second late.
    """
    if not (options.headless or options.autostart):
        return
    deadline = perf_counter() + CONNECTING
    while len(runner.clients.ready) < options.expect_workers and perf_counter() < deadline:
        gevent.sleep(0.01)


def _add_generator(environment: Any, runner: LocalRunner | WorkerRunner, guard: Egress) -> None:
    def send(message: Message) -> None:
        runner.send_message(REPORT, message.model_dump())

    generator = Generator(
        runner.client_id, send, lambda: runner.user_count, environment, guard.drain
    )
    PlanUser.generator = generator
    STAMPS.use(generator.sender)
    generator.recorder.phases = stamps.phases
    environment.events.request.add_listener(generator.recorder.on_request)

    def prepare(msg: Any, **_: Any) -> None:
        stage = placeholders.filled_stage(Stage.model_validate(msg.data["stage"]))
        guard.allow(urlsplit(stage.target).hostname)  # the controller has checked it
        generator.prepare(stage, Share(*msg.data["share"]))
        answer = {"stage": stage.number, "sent": msg.data["clock"], "clock": perf_counter()}
        runner.send_message(READY, answer)

    runner.register_message(PREPARE, prepare)
    runner.register_message(GO, lambda msg, **_: generator.go(msg.data["at"]))
    runner.register_message(
        END, lambda msg, **_: generator.shorten(msg.data["stage"], msg.data["measure"])
    )
    environment.events.test_stop.add_listener(lambda **_: generator.abandon())


def _add_conductor(
    environment: Any,
    runner: LocalRunner | MasterRunner,
    path: Path,
    plan: plans.Plan,
    guard: Egress,
    web: bool,
) -> EngineSocket:
    parsed = environment.parsed_options

    def values() -> dict[str, str]:
        return options.chosen(parsed) | {"host": environment.host or ""}

    try:
        guard.allow_lookup(environment.host or "")
        overrides.applied(plan, values())
        link = connect(path, Path(parsed.out), web)
    except plans.PlanError as error:
        _give_up(error)
    except ControllerFailed as error:
        sys.exit(error.code)
    conductor = StageBarrier(runner, environment.shape_class, link)
    environment.events.test_start.add_listener(lambda **_: conductor.start(values()))
    environment.events.test_stop.add_listener(lambda **_: conductor.stop())

    def quitting(**_: Any) -> None:
        # Without a code of ours Locust exits with 1 as soon as one request failed.
        environment.process_exit_code = link.close() or 0

    environment.events.quitting.add_listener(quitting)
    return link
