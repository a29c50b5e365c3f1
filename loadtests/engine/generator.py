"""A generator: one process that makes load. It plays one stage at a time and reports slices.

Every node with users runs one: a local Locust its only one, a distributed run one in each worker.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from time import perf_counter, process_time
from typing import Any

import gevent
from gevent.event import Event

from loadtests.engine import locations
from loadtests.engine.arrivals import GeneratorShare, first_starts
from loadtests.engine.calls import Call
from loadtests.engine.client_pools import WAITS
from loadtests.engine.connection import RECONNECTIONS
from loadtests.engine.dispatcher import Dispatcher
from loadtests.engine.flights import Flight
from loadtests.engine.lag import Lag
from loadtests.engine.own_users import OwnUsers
from loadtests.engine.recorder import Recorder
from loadtests.engine.sending import Sender
from loadtests.engine.statistics import Statistics
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import TICK, GeneratorDone, Message, Report, SliceMessage, Stage

REPORT_EVERY = 0.5  # seconds
HELD = 4.0  # mean answers at most for which the load goes on after a stage's end
GRACE = 2.0  # seconds beyond the longest request timeout before a request is given up


class Generator:
    """
    Keeps its users parked at a gate, opens it for a stage, and closes it behind the last request.

    In an open stage the gate stays closed: a Dispatcher sends the requests.

    Args:
        name: of this node, unique in the run.
        send: takes each Report and at last the Done of a stage.
        users: those of the user's own locustfile on this node.
        environment: Locust's, whose listeners and statistics hear of the requests.
        refused: returns how many connections to each host were refused since its last call.
        errors: returns how often the locustfile raised each exception since its last call.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Message], None],
        users: OwnUsers,
        environment: Any,
        refused: Callable[[], dict[str, int]],
        errors: Callable[[], dict[str, int]] = dict,
    ) -> None:
        self.name = name
        self.recorder = Recorder()
        self._send = send
        self._users = users
        self._refused, self._errors = refused, errors
        self._statistics = Statistics(environment, self.recorder.on_request)
        self.sender = Sender(self.recorder, environment.events.request, self._statistics)
        self._gate = Event()
        self._shut = Event()  # the gate's opposite, which ends a pause
        self._stage: Stage | None = None
        self._share = GeneratorShare()
        self._length = 0.0  # of the stage: seconds from its beginning to its end
        self._shortened = Event()
        self._answers: dict[str, float] = {}  # mean seconds, of each deployment's last stage
        self._dispatcher: Dispatcher | None = None  # of an open stage
        self._choices: tuple[list[Call], list[float]] = ([], [])
        self._playing: gevent.Greenlet[..., None] | None = None
        self.failed: Callable[[str], None] = lambda _: None
        """Called with what went wrong in this process."""

    # What the users call.

    def enter(self) -> Stage:
        """Wait until a stage is open and return it."""
        self._gate.wait()
        assert self._stage is not None
        return self._stage

    def begin(self, user: int) -> random.Random:
        """
        Let a user wait for its own beginning in the open stage; returns what it draws from there.

        Args:
            user: number of the user on this node.
        """
        stage = self._stage
        assert stage is not None
        draw = random.Random(f"{stage.seed}/{stage.number}/{self._share.index}/{user}")
        self.pause(draw.uniform(0, first_starts(stage, self._answers.get(stage.deployment))))
        return draw

    def pause(self, seconds: float) -> None:
        """Let a user wait, until the stage is over at most."""
        self._shut.wait(seconds)

    def choose(self, draw: random.Random) -> Call:
        """One of the stage's requests, by weight."""
        calls, weights = self._choices
        if len(calls) == 1:
            return calls[0]
        return draw.choices(calls, cum_weights=weights)[0]

    # What the conductor calls.

    def prepare(self, stage: Stage, share: GeneratorShare) -> None:
        """Take a stage up, or this generator's share of it; the gate stays closed."""
        self.abandon()
        self._stage, self._share = stage, share
        self._length = stage.settle + stage.measure
        weights = list(accumulate(request.weight for request in stage.requests))
        self._choices = self.sender.prepare(stage, share), weights
        self.recorder.apart.forget()
        if stage.own_tasks:
            self._users.prepare(stage.settle / 2)
        if stage.model == "open":
            self._dispatcher = Dispatcher(stage, share, self.recorder, self.sender, self.choose)

    def go(self, at: float) -> None:
        """Play the prepared stage from `at` on (seconds, this process's `perf_counter`)."""
        self._playing = gevent.spawn(self._play, at)
        self._playing.link_exception(self._fail)

    def _fail(self, playing: Any) -> None:
        self.failed(f"the load generator failed: {locations.described(playing.exception)}")

    def shorten(self, stage: int, measure: float) -> None:
        """End the stage of this number when so much is measured (seconds), or now if it was."""
        if self._stage is None or self._stage.number != stage:
            return
        self._length = min(self._length, self._stage.settle + measure)
        self.recorder.shorten(self._length)
        if self._dispatcher is not None:
            self._dispatcher.shorten(self._length)
        self._shortened.set()

    def abandon(self) -> None:
        """Leave the stage that is being played, if there is one; nothing more is reported."""
        self._close()
        if self._playing is not None:
            self._playing.kill()
            self._playing = None
            self._statistics.feed(self.recorder.drain())
        self.sender.flights.unwatch()
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None

    def _play(self, at: float) -> None:
        stage = self._stage
        assert stage is not None
        gevent.sleep(max(0.0, at - perf_counter()))
        before = replace(RECONNECTIONS)
        self._statistics.feed(self.recorder.drain())  # what ended after a stage was abandoned
        self._shortened.clear()
        self.recorder.begin(stage.number, at, self._length, stage.settle)
        if self.sender.coin is not None:
            self.sender.coin.begin(at)
        if self._dispatcher is not None:
            self._dispatcher.start(at)
        else:
            self._shut.clear()
            self._gate.set()
        if stage.own_tasks:
            self._users.open()
        reporter = _Reporter(self.name, stage.number, self.recorder, self._statistics, self._send)
        self._report_until(lambda: at + stage.settle, reporter)
        watched, lag = perf_counter(), Lag(at)
        cpu, waits = process_time(), WAITS.seconds
        watch = self._users.watch() if stage.own_tasks else None
        tickers: list[gevent.Greenlet[..., None]] = [gevent.spawn(lag.watch)]
        if watch is not None:
            tickers.append(gevent.spawn(watch.run, lambda: at + self._length))
        self._report_until(lambda: at + self._length, reporter)
        gevent.killall(tickers)
        share = (process_time() - cpu) / (perf_counter() - watched)
        waits = WAITS.seconds - waits
        self._hold(stage, at)
        self._close()
        if self.recorder.mean is not None:
            self._answers[stage.deployment] = self.recorder.mean
        unfinished = self._drain(stage, at)
        late = Histogram()
        if self._dispatcher is not None:
            late = self._dispatcher.late
            self._dispatcher.close()
            self._dispatcher = None
        self.sender.flights.unwatch()
        reporter.report()
        self._send(
            GeneratorDone(
                stage=stage.number,
                generator=self.name,
                reports=reporter.sent,
                unfinished=unfinished,
                cpu=share,
                lag=lag.times.quantile(0.99) if lag.times.count else 0.0,
                lateness=lag.quarters(),
                late=late.quantile(0.99) if late.count else 0.0,
                beyond=self.recorder.beyond,
                refused=self._refused(),
                reopened=RECONNECTIONS.reopened - before.reopened,
                resent=RECONNECTIONS.resent - before.resent,
                users=watch.counts() if watch else None,
                apart=self.recorder.apart.rows(),
                errors=self._errors(),
                unusable=self.recorder.drain_unusable(),
                pool_waits=waits,
            )
        )
        self._playing = None

    def _report_until(self, moment: Callable[[], float], reporter: "_Reporter") -> None:
        """Report every REPORT_EVERY seconds until the moment has come, which may come sooner."""
        due = perf_counter() + REPORT_EVERY
        while (left := moment() - perf_counter()) > 0:
            self._shortened.wait(min(left, max(due - perf_counter(), 0.0)))
            self._shortened.clear()
            if perf_counter() >= due:
                due += REPORT_EVERY
                if moment() > perf_counter():
                    reporter.report()

    def _hold(self, stage: Stage, at: float) -> None:
        """
        Keep the load on while what was measured is still in flight, without recording what starts.

        Who shares a processor with others is done sooner once they have gone. Nobody waits for
        answers that take longer than most.
        """
        mean = self.recorder.mean
        if mean is None or stage.own_tasks:
            return
        deadline = perf_counter() + min(HELD * mean, stage.settle)
        while self._recorded(at) and perf_counter() < deadline:
            gevent.sleep(min(mean / 4, TICK))

    def _recorded(self, at: float) -> list[Flight]:
        """The requests in flight that started within the stage, which began `at`."""
        return self.sender.flights.within(at, at + self._length)

    def _close(self) -> None:
        """Let no request start."""
        self._gate.clear()
        self._shut.set()
        if self._dispatcher is not None:
            self._dispatcher.hush()

    def _drain(self, stage: Stage, at: float) -> int:
        """
        Wait for the last answers; returns how many requests had to be given up. They are recorded
        as failures, unless they are of a user's own locustfile.
        """
        timeout = GRACE + max((request.timeout for request in stage.requests), default=60.0)
        if self._dispatcher is not None:
            self._dispatcher.join(timeout)
        elif not stage.own_tasks:
            self.sender.flights.wait(timeout)
        if not stage.own_tasks:
            given_up = self._recorded(at)
            for name, start, *_ in given_up:
                self.recorder.gave_up(name, start)
            return len(given_up)
        self._users.end_those_starting()
        deadline = perf_counter() + timeout
        while self._users.count() and perf_counter() < deadline:
            gevent.sleep(0.01)
        return self._users.count()


class _Reporter:
    """Numbers the reports of one stage."""

    def __init__(
        self,
        name: str,
        stage: int,
        recorder: Recorder,
        statistics: Statistics,
        send: Callable[[Message], None],
    ) -> None:
        self.sent = 0
        self._name, self._stage, self._send = name, stage, send
        self._recorder, self._statistics = recorder, statistics

    def report(self) -> None:
        parts = self._recorder.drain()
        self._statistics.feed(parts)
        slices = tuple(map(SliceMessage.of, parts))
        if slices:
            report = Report(
                stage=self._stage, generator=self._name, sequence=self.sent, slices=slices
            )
            self._send(report)
            self.sent += 1
