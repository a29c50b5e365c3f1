"""The open model: every request is sent at its moment, whatever became of those before it."""

import random
import resource
from collections.abc import Callable
from time import perf_counter
from typing import Any

import gevent

from loadtests.engine.alarm import Alarm
from loadtests.engine.arrivals import GeneratorShare, arrivals
from loadtests.engine.calls import Call
from loadtests.engine.connection import ClientConnection
from loadtests.engine.recorder import Recorder
from loadtests.engine.sending import Sender
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import Stage

MOST_IN_FLIGHT = 10_000
"""
Requests in flight of all generators together. Each takes a port of this machine, and Linux has
28,232 of them for one address, those of the last minute's closed connections included.
"""
OTHER_DESCRIPTORS = 100  # files of a generator other than its requests, generously
CATCH_UP = 1.0  # seconds after a stage's end in which what is late is still sent


class Dispatcher:
    """
    Sends one open stage's share of requests, a greenlet each, by connections of its own.

    An idle one is taken before a new one is made, the last used one first, so that connections
    stay warm and as many are open as the deployment makes necessary.

    Args:
        choose: one of the stage's requests, by weight.
    """

    def __init__(
        self,
        stage: Stage,
        share: GeneratorShare,
        recorder: Recorder,
        sender: Sender,
        choose: Callable[[random.Random], Call],
    ) -> None:
        self._stage, self._share = stage, share
        self._recorder, self._sender, self._choose = recorder, sender, choose
        self._bound = most_in_flight(share.of)
        self._playing: gevent.Greenlet[..., None] | None = None
        self._sending: set[Any] = set()  # greenlets
        self._idle: list[ClientConnection] = []
        self._length = stage.settle + stage.measure
        self._moment = 0.0  # intended start of the request that is sent next
        self._hushed = False
        self.late = Histogram()
        """How much later than meant requests were sent, of those measured; seconds."""

    def start(self, at: float) -> None:
        """
        Begin the stage `at` (seconds, `perf_counter`) and send all that is meant to start in it.

        It goes on beyond the stage's end, for the settling time at most, until `hush`.

        After a delay of its own it sends all that is due at once. What cannot be sent, because as
        many as possible are in flight or the stage is long over, is recorded as unsent.
        """
        self._playing = gevent.spawn(self._play, at)

    def shorten(self, length: float) -> None:
        """Let the stage be no longer than this; seconds."""
        self._length = min(self._length, length)

    def hush(self) -> None:
        """Send nothing more that is meant to start after the stage's end."""
        self._hushed = True
        if self._playing is not None and self._moment >= self._length:
            self._playing.kill()

    def join(self, timeout: float) -> None:
        """Wait `timeout` seconds for the last answers."""
        deadline = perf_counter() + timeout
        gevent.joinall([self._playing] if self._playing else [], timeout)
        gevent.joinall(list(self._sending), max(0.0, deadline - perf_counter()))

    def close(self) -> None:
        """Give up what is in flight and close all connections: the next stage has its own."""
        gevent.killall([self._playing, *self._sending] if self._playing else [])
        for connection in self._idle:
            connection.close()

    def _play(self, at: float) -> None:
        stage, share = self._stage, self._share
        draw = random.Random(f"requests/{stage.seed}/{stage.number}/{share.index}/{share.of}")
        with Alarm() as alarm:
            for moment in arrivals(stage, share, beyond=stage.settle):
                self._moment = moment
                if self._hushed and moment >= self._length:
                    return
                intended = at + moment
                if intended > perf_counter():
                    alarm.sleep_until(intended)
                call = self._choose(draw)
                late = perf_counter() > max(at + self._length, intended) + CATCH_UP
                if late or len(self._sending) >= self._bound:
                    self._recorder.unsent(call.spec.name, intended)
                else:
                    self._sending.add(gevent.spawn(self._send, call, intended, moment))

    def _send(self, call: Call, intended: float, moment: float) -> None:
        connection = self._idle.pop() if self._idle else ClientConnection(self._sender.endpoint)
        if self._stage.settle <= moment < self._length:
            self.late.record(perf_counter() - intended)
        try:
            self._sender.send(call, connection, intended)
        finally:
            self._idle.append(connection)
            self._sending.discard(gevent.getcurrent())


def most_in_flight(generators: int) -> int:
    """The requests that one of `generators` generators on this machine can have in flight."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(MOST_IN_FLIGHT // generators, descriptors - OTHER_DESCRIPTORS), 1)
