"""Hooks the engine into Locust: options, recorder, barrier, the web form."""

import atexit
import gc
import logging
import signal
import sys
import sysconfig
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn
from urllib.parse import urlsplit

import gevent
from locust import User, events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner
from locust.util.load_locustfile import load_locustfile, load_locustfile_pytest

from loadtests import plans
from loadtests.engine import (
    client_pools,
    egress,
    keepalive,
    locations,
    options,
    stamps,
    statistics,
    webui,
    workers,
)
from loadtests.engine.apart import EventSorter
from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.conductor import (
    END,
    FAILED,
    GATHER,
    GATHERED,
    GO,
    PREPARE,
    READY,
    REPORT,
    StageBarrier,
)
from loadtests.engine.egress import Egress
from loadtests.engine.generator import Generator
from loadtests.engine.handlers import Handlers
from loadtests.engine.link import ControllerFailed, EngineSocket, connect
from loadtests.engine.own_users import OwnUsers
from loadtests.engine.stamps import STAMPS
from loadtests.engine.users import PlanUser
from loadtests.environment import SAID
from loadtests.exit_codes import USAGE
from loadtests.plans import overrides, placeholders
from loadtests.plans.deployments import UrlDeployment
from loadtests.recording.messages import GeneratorDone, Message, Stage
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
    atexit.register(gc.freeze)  # garbage ends with the process, and takes long to find
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        path = options.plan_path()
        plan = plans.read(path)
    except plans.PlanError as error:
        _give_up(error)
    keepalive.install()
    statistics.install()
    urls = [one.url for one in plan.deployments.values() if isinstance(one, UrlDeployment)]
    guard = egress.install(plan.allow_hosts, urls)
    workers.install(guard.allow)
    handlers, own = Handlers(plan.locustfile is not None), OwnUsers()
    handlers.failed = _end_at_start
    handlers.install()
    scenario = _Scenario(plan, handlers, own, options.extra_words(plan))

    def add_options(parser: Any, **_: Any) -> None:
        _put_standard_library_first()  # Locust changes the path until it has read the locustfile
        for text in options.add(parser, plan):
            logging.getLogger(__name__).warning(text)
        options.give(parser, scenario.words)
        workers.watch(parser)

    def start(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
        if runner is None:
            _end_at_start(
                "the locustfile calls run_single_user when it is read: put the call below "
                'if __name__ == "__main__":'
            )
        if plan.locustfile is not None:
            environment.stop_timeout = OWN_TASKS_STOP
            own.runner = runner
            environment._filter_tasks_by_tags()  # Locust does it later, and once
            _check_tasks(environment.user_classes)
        if not isinstance(runner, MasterRunner):
            _add_generator(environment, runner, guard, scenario)
        if not isinstance(runner, WorkerRunner):
            link = _add_conductor(environment, runner, path, scenario, guard, web_ui is not None)
            if web_ui is not None:
                guard.allow(web_ui.host)  # its server looks it up
                webui.install(environment, web_ui, plan, link, guard)
            link.listen()
        if isinstance(runner, MasterRunner):
            _await_workers(runner, environment.parsed_options)

    events.init.add_listener(start)
    if plan.locustfile is None:
        events.init_command_line_parser.add_listener(add_options)
        return {PlanUser.__name__: PlanUser}
    stamps.install()
    client_pools.install()
    classes = _own_users(plan.locustfile, scenario)
    events.init_command_line_parser.add_listener(add_options)  # its own options come first
    own.adopt(classes)
    scenario.notes += _other_hosts(classes)
    for kind in classes.values():
        kind.host = overrides.PLANNED  # the form would take their own for one that was typed
    return classes


@dataclass(slots=True)
class _Scenario:
    """What is played: the plan, with its locustfile if it has one."""

    plan: plans.Plan
    handlers: Handlers
    users: OwnUsers
    words: list[str]  # of Locust's command line, in addition to sys.argv
    notes: list[str] = field(default_factory=list)


def _own_users(locustfile: Path, scenario: _Scenario) -> dict[str, type[User]]:
    """Return the User classes of a locustfile, by name, whatever the file is called."""
    name = locustfile.stem
    before = sys.modules.get(name)
    try:
        classes, shapes = load_locustfile(str(locustfile))
        if not classes:
            classes = load_locustfile_pytest(str(locustfile))
    except Exception as error:
        traceback.print_exc()
        _end_at_start(f"the locustfile cannot be read: {locations.described(error)}")
    except SystemExit as error:  # what it printed before is the reason, and the controller shows it
        print(f"the locustfile ended Locust: {locations.described(error)}", file=sys.stderr)
        sys.exit(USAGE)
    if before is not None:  # Locust gives the name of a `random.py` to the locustfile
        sys.modules[name] = before
    if not classes:
        _end_at_start(
            f"{locustfile.name} has no User class that can be played: give it one with tasks, "
            "and not abstract"
        )
    scenario.notes += (
        f"The locustfile's {type(shape).__name__} is not played: the plan's levels say how many "
        "users there are."
        for shape in shapes
    )
    return classes


def _other_hosts(classes: dict[str, type[User]]) -> list[str]:
    """A sentence where classes have hosts of their own, which are not used."""
    hosts = {name: kind.host for name, kind in classes.items() if kind.host}
    if len({kind.host for kind in classes.values()}) < 2:
        return []
    named = ", ".join(f"{name} has {host}" for name, host in hosts.items())
    return [
        f"All User classes call the deployment, also where they have another host ({named}): give "
        "a request to another service its whole URL."
    ]


def _check_tasks(classes: list[type[User]]) -> None:
    """Refuse users without a task, as where tags have left none: Locust would try without end."""
    for kind in classes:
        if not (kind.tasks or hasattr(kind, "functions")):
            _end_at_start(
                f"{kind.__name__} of the locustfile has no task to play: give it one, or change "
                "tags and exclude_tags of [locust]"
            )


def _end_at_start(text: str) -> NoReturn:
    """End Locust before it has begun; the controller reads this line in its log."""
    print(f"{SAID}{text}", file=sys.stderr)
    sys.exit(USAGE)


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


def _add_generator(
    environment: Any, runner: LocalRunner | WorkerRunner, guard: Egress, scenario: _Scenario
) -> None:
    users, handlers = scenario.users, scenario.handlers
    distributed = isinstance(runner, WorkerRunner)  # a local one's conductor fires the events

    def send(message: Message) -> None:
        runner.send_message(REPORT, message.model_dump())
        if distributed and isinstance(message, GeneratorDone) and users.runner is not None:
            handlers.end_stage(environment)

    generator = Generator(runner.client_id, send, users, environment, guard.drain, handlers.drain)
    generator.failed = lambda text: handlers.failed(text)  # the conductor's, once there is one
    table = scenario.plan.locust
    apart = EventSorter(table.requests, table.metrics)
    if scenario.plan.locustfile is not None:
        apart = EventSorter(table.requests, table.metrics, users.starting, users.background)
    generator.recorder.apart = apart
    if distributed:
        handlers.failed = lambda text: runner.send_message(FAILED, {"text": text})
    PlanUser.generator = generator
    STAMPS.use(generator.sender)
    generator.recorder.phases = stamps.phases
    environment.events.request.add_listener(generator.recorder.on_request)

    def prepare(msg: Any, **_: Any) -> None:
        stage = placeholders.filled_stage(Stage.model_validate(msg.data["stage"]))
        guard.allow(urlsplit(stage.target).hostname)  # the controller has checked it
        generator.prepare(stage, GeneratorShare(*msg.data["share"]))
        if stage.own_tasks and distributed:
            environment.host = stage.target
            handlers.begin_stage(environment)
        answer = {"stage": stage.number, "sent": msg.data["clock"], "clock": perf_counter()}
        runner.send_message(READY, answer)

    def gather(stage: int, seconds: float) -> None:
        users.await_start(seconds)
        runner.send_message(GATHERED, {"stage": stage})

    runner.register_message(PREPARE, prepare)
    runner.register_message(
        GATHER,
        lambda msg, **_: gevent.spawn(gather, msg.data["stage"], msg.data["seconds"]),
    )
    runner.register_message(GO, lambda msg, **_: generator.go(msg.data["at"]))
    runner.register_message(
        END, lambda msg, **_: generator.shorten(msg.data["stage"], msg.data["measure"])
    )
    environment.events.test_stop.add_listener(lambda **_: generator.abandon())


def _add_conductor(
    environment: Any,
    runner: LocalRunner | MasterRunner,
    path: Path,
    scenario: _Scenario,
    guard: Egress,
    web: bool,
) -> EngineSocket:
    parsed = environment.parsed_options

    def values() -> dict[str, str]:
        return options.chosen(parsed) | {"host": environment.host or ""}

    try:
        guard.allow_lookup(environment.host or "")
        overrides.applied(scenario.plan, values())
        out = Path(options.value(parsed, "out"))
        link = connect(path, out, web, scenario.notes)
    except plans.PlanError as error:
        _give_up(error)
    except ControllerFailed as error:
        sys.exit(error.code)
    conductor = StageBarrier(runner, environment.shape_class, link, scenario.handlers)
    environment.events.test_start.add_listener(lambda **_: conductor.start(values()))
    environment.events.test_stopping.add_listener(lambda **_: conductor.stopping())
    environment.events.test_stop.add_listener(lambda **_: conductor.stop())

    def quitting(**_: Any) -> None:
        conductor.quitting(environment.process_exit_code)
        # Without a code of ours Locust exits with 1 as soon as one request failed.
        environment.process_exit_code = (link.close() if link.controller else None) or 0

    # Locust calls these in reverse: ours is the last, when the locustfile's have had their say.
    environment.events.quitting._handlers.insert(0, quitting)
    environment.events.quit.add_listener(lambda **_: None if link.controller else link.close())
    return link
