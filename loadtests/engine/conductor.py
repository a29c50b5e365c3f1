"""The barrier: a stage begins on all generators at once and is over when each has said so.

Runs where Locust's runner is: in the only process, or in the master. Talks to generators by
Locust's custom messages, which a local runner delivers to itself, so that one process, several, and
the web UI are the same thing.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event
from locust import LoadTestShape
from locust.runners import HEARTBEAT_INTERVAL, HEARTBEAT_LIVENESS, MasterRunner, Runner

from loadtests.engine import locations
from loadtests.engine.generator import GRACE
from loadtests.engine.handlers import Handlers
from loadtests.engine.link import EngineSocket
from loadtests.engine.workers import drain_failed_handshakes
from loadtests.recording.messages import (
    ON_START,
    Clock,
    Enough,
    Finish,
    GeneratorDone,
    GeneratorLost,
    LocustfileFailed,
    Measured,
    OwnExitCode,
    Report,
    Stage,
    StageStarted,
    Started,
    Stopped,
)
from loadtests.recording.slices import LENGTH

log = logging.getLogger(__name__)

PREPARE, READY, GATHER, GATHERED, GO, END, REPORT, FAILED = (
    f"brownout_{word}"
    for word in ("prepare", "ready", "gather", "gathered", "go", "end", "report", "failed")
)
SPAWNING = 30.0  # seconds that a change of the number of users may take
ANSWERING = 10.0  # seconds in which a generator must acknowledge a stage
LEAD = 0.05  # seconds from the last acknowledgement to the moment when all gates open
NOTICE = 0.1  # seconds before a stage's end in which every generator learns of it


class UserCountShape(LoadTestShape):
    """Locust's view of the level: how many users there are. It wakes when that must change."""

    abstract = False  # Locust: this is a shape to use

    def __init__(self) -> None:
        super().__init__()
        self.users: int | None = 0
        self._reported: int | None = -1
        self._changed = Event()

    def set(self, users: int | None) -> None:
        """None ends the test."""
        self.users = users
        self._changed.set()

    def tick(self) -> tuple[int, float] | None:
        while self.users is not None and self.users == self._reported:
            self._changed.clear()
            self._changed.wait()
        self._reported = self.users
        return None if self.users is None else (self.users, max(self.users, 100))

    def forget(self) -> None:
        """Be ready for the next test."""
        self.users, self._reported = 0, -1


class StageBarrier:
    """Takes stages from the controller and has them played."""

    def __init__(
        self, runner: Runner, levels: UserCountShape, link: EngineSocket, handlers: Handlers
    ) -> None:
        self._runner, self._levels, self._link = runner, levels, link
        self._handlers = handlers
        self._host = runner.environment.host
        self._playing: set[str] = set()  # generators of the stage
        self._ready: dict[str, Clock] = {}
        self._gathered: set[str] = set()  # generators whose users have left on_start
        self._brought: int | None = None  # users that Locust has started last
        self._finished = False  # the plan has come to its end
        self._ended_by: str | None = None  # the line of the locustfile that ends the test
        self._done: dict[str, GeneratorDone] = {}
        self._stage: Stage | None = None
        self._begun: float | None = None  # when the stage's gates open (seconds, `perf_counter`)
        self._length = 0.0  # of the stage: seconds from its beginning to its end
        self._played = 0  # stages of this test
        self._news = Event()
        self._running: gevent.Greenlet[..., None] | None = None
        self._end = runner.shape_worker
        runner.shape_worker = self._follow  # type: ignore[method-assign]
        link.enough = self._shorten
        handlers.failed = self.fail
        runner.register_message(READY, self._on_ready)
        runner.register_message(GATHERED, self._on_gathered)
        if isinstance(runner, MasterRunner):
            runner.register_message(FAILED, lambda msg, **_: self.fail(msg.data["text"]))
        runner.register_message(REPORT, self._on_report)

    def start(self, options: dict[str, str]) -> None:
        """A test began: ask the controller for stages."""
        self._host = self._runner.environment.host
        self._link.forget()
        self._played, self._finished, self._ended_by = 0, False, None
        self._link.send(Started(options=options))
        self._running = gevent.spawn(self._conduct)

    def _follow(self) -> None:
        """
        Have as many users as the level says, until the test ends.

        Locust's own loop sleeps for the rest of a second after each change, and a test begins with
        one: its first stage would start a second late.
        """
        while (change := self._levels.tick()) is not None:
            self._runner.start(*change)
            self._await_users(change[0])
        self._end()  # Locust's own loop sees the end and quits, or waits for the next test

    def _await_users(self, users: int) -> None:
        """Note when as many have been started; a master's `start` has waited for that."""
        self._brought = None
        spawning = self._runner.spawning_greenlet

        def brought(*_: Any) -> None:
            self._brought = users
            self._news.set()

        if isinstance(self._runner, MasterRunner) or spawning is None:
            brought()
        else:
            spawning.link_value(brought)

    def fail(self, text: str) -> None:
        """A handler of the locustfile failed: the controller ends the run."""
        try:
            self._link.send(LocustfileFailed(text=text))
        except OSError:
            log.debug("the controller is gone already")

    def quitting(self, code: int | None) -> None:
        """
        Locust's process ends.

        Args:
            code: the exit code that the locustfile has set; None: none.
        """
        # A user that ends the test is stopped on the way, and Locust may quit before test_stop.
        if self._ended_by and self._running is not None:
            self.stop()
        if code:
            with suppress(OSError):  # the controller is gone already
                self._link.send(OwnExitCode(code=code))

    def stopping(self) -> None:
        """Locust begins to end the test. Note who does: a user that does so ends on the way."""
        self._ended_by = self._ended_by or locations.caller()

    def stop(self) -> None:
        """The test is over, by itself or by hand."""
        if self._running is not None and self._running is not gevent.getcurrent():
            self._running.kill()
        self._running = None
        self._stage = self._begun = None
        self._levels.forget()
        self._runner.environment.host = self._host  # stages of own tasks have set it
        try:
            self._link.send(Stopped(reason=self._reason()))
        except OSError:
            log.debug("the controller is gone already")

    def _reason(self) -> str:
        """Why Locust ended the test itself, which is then no interruption; empty: it did not."""
        runner = self._runner
        if self._finished:
            return ""
        if self._ended_by:
            return f"the locustfile ended the test ({self._ended_by})"
        if not isinstance(runner, MasterRunner) or runner.worker_count:
            return ""
        return (
            "the load generator is gone: each of its worker processes ended, or has been silent "
            f"for {HEARTBEAT_LIVENESS * HEARTBEAT_INTERVAL:g} s, as one that was stopped or that "
            "a busy machine leaves no CPU"
        )

    def _conduct(self) -> None:
        while True:
            match self._link.receive():
                case Stage() as stage if stage.number == self._played:
                    self._played += 1
                    self._play(stage)
                case Stage():
                    log.debug("a stage of the test before, which was stopped")
                case Finish() | None:
                    self._running, self._finished = None, True
                    self._levels.set(None)
                    return
                case other:
                    log.error("unexpected message from the controller: %r", other)

    def _play(self, stage: Stage) -> None:
        self._stage = stage
        self._begun, self._length = None, stage.settle + stage.measure
        self._playing, self._ready, self._done = set(), {}, {}
        self._gathered = set()
        if stage.own_tasks:
            self._runner.environment.host = stage.target
            self._handlers.begin_stage(self._runner.environment)
        elif not self._bring(users := self._users(stage)):
            self._lose("", f"{users} users did not start within {SPAWNING:.0f} s")
            return
        generators = self._playing = self._generators()
        plain = stage.model_dump()
        for index, name in enumerate(sorted(generators)):
            share = (index, len(generators))
            message = {"stage": plain, "share": share, "clock": perf_counter()}
            self._runner.send_message(PREPARE, message, name)
        answering = ON_START if stage.own_tasks else ANSWERING  # workers have a test_start, too
        if not self._wait(answering, lambda: generators <= self._ready.keys()):
            for name in generators - self._ready.keys():
                self._lose(name, f"did not take up the stage within {answering:.0f} s")
            return
        if stage.own_tasks:
            self._gather(stage)
        at = perf_counter() + LEAD
        for name in generators:
            clock = self._ready[name]
            self._runner.send_message(GO, {"at": at + clock.offset}, name)
        self._link.send(
            StageStarted(
                stage=stage.number, at=at, generators={n: self._ready[n] for n in generators}
            )
        )
        self._begun = at
        if stage.own_tasks:
            while (left := at + self._length - perf_counter()) > 0:
                self._news.clear()
                self._news.wait(left)
            self._levels.set(0)
        longest = max((request.timeout for request in stage.requests), default=60.0)
        timeout = stage.settle + longest + 2 * GRACE + 5
        self._wait_until(
            lambda: at + self._length + timeout,
            lambda: self._silent(generators) <= self._missing(),
        )
        self._begun = None
        if stage.own_tasks:
            self._handlers.end_stage(self._runner.environment)
        for name in self._silent(generators):
            reason = "lost its connection" if name in self._missing() else "fell silent"
            self._lose(name, reason)
        self._stage = None

    def _gather(self, stage: Stage) -> None:
        """
        Start the users of the locustfile, and wait until all have left on_start.

        A stage begins without those that take too long; its generators count them.
        """
        self._levels.set(stage.level)
        began = perf_counter()
        self._wait(ON_START, lambda: self._brought == stage.level, poll=0.01)
        left = max(ON_START - (perf_counter() - began), 0.0)
        for name in self._playing:
            self._runner.send_message(GATHER, {"stage": stage.number, "seconds": left}, name)
        self._wait(left + ANSWERING, lambda: self._playing <= self._gathered | self._missing())

    def _shorten(self, enough: Enough) -> None:
        """Have all generators end the stage at the same moment, at which a slice ends."""
        stage = self._stage
        if stage is None or self._begun is None or enough.stage != stage.number:
            return
        soonest = perf_counter() + NOTICE - self._begun - stage.settle
        slices = math.ceil(round(max(enough.measure, soonest, LENGTH) / LENGTH, 6))
        measure = slices * LENGTH
        if stage.settle + measure >= self._length:
            return
        self._length = stage.settle + measure
        self._link.send(Measured(stage=stage.number, measure=measure))
        for name in self._playing:
            self._runner.send_message(END, {"stage": stage.number, "measure": measure}, name)
        self._news.set()

    def _users(self, stage: Stage) -> int:
        """Users to start; in the open model one for each generator, which sends nothing."""
        if stage.model == "closed":
            return stage.level
        return max(len(self._generators()), 1)  # without a generator it cannot be brought up

    def _bring(self, users: int) -> bool:
        self._levels.set(users)
        return self._wait(SPAWNING, lambda: self._runner.user_count == users, poll=0.01)

    def _generators(self) -> set[str]:
        if isinstance(self._runner, MasterRunner):
            clients = self._runner.clients
            return {node.id for node in clients.ready + clients.spawning + clients.running}
        return {"local"}

    def _missing(self) -> set[str]:
        if isinstance(self._runner, MasterRunner):
            present = {node.id for node in self._runner.clients.all}
            missing = {node.id for node in self._runner.clients.missing}
            return missing | (self._ready.keys() - present)
        return set()

    def _silent(self, generators: set[str]) -> set[str]:
        return generators - self._done.keys()

    def _lose(self, name: str, reason: str) -> None:
        assert self._stage is not None
        log.error("stage %d: generator %s %s", self._stage.number, name, reason)
        self._link.send(GeneratorLost(stage=self._stage.number, generator=name, reason=reason))

    def _wait(self, timeout: float, reached: Callable[[], bool], poll: float = 0.25) -> bool:
        deadline = perf_counter() + timeout
        return self._wait_until(lambda: deadline, reached, poll)

    def _wait_until(
        self, deadline: Callable[[], float], reached: Callable[[], bool], poll: float = 0.25
    ) -> bool:
        while not reached():
            if perf_counter() > deadline():
                return False
            self._news.clear()
            self._news.wait(poll)
        return True

    def _on_ready(self, msg: Any, **_: Any) -> None:
        if self._stage is None or msg.data["stage"] != self._stage.number:
            return
        if msg.node_id not in self._playing:
            return
        sent, here, now = msg.data["sent"], msg.data["clock"], perf_counter()
        # The generator read its clock somewhere between our sending and now.
        self._ready[msg.node_id] = Clock(
            offset=here - (sent + now) / 2, uncertainty=(now - sent) / 2
        )
        self._news.set()

    def _on_gathered(self, msg: Any, **_: Any) -> None:
        if self._stage is not None and msg.data["stage"] == self._stage.number:
            self._gathered.add(msg.node_id)
            self._news.set()

    def _on_report(self, msg: Any, **_: Any) -> None:
        kind = GeneratorDone if msg.data["type"] == "done" else Report
        message = kind.model_validate(msg.data | {"generator": msg.node_id})
        if self._stage is None or message.stage != self._stage.number:
            log.warning("a report on stage %d came too late", message.stage)
            return
        if msg.node_id not in self._playing:
            log.warning("a report of %s, which plays no stage, was dropped", msg.node_id)
            return
        if isinstance(message, GeneratorDone):
            message = message.model_copy(update={"strangers": drain_failed_handshakes()})
        self._link.send(message)
        if isinstance(message, GeneratorDone):
            self._done[msg.node_id] = message
            self._news.set()
