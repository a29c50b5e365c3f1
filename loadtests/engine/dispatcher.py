"""The open model: every request is sent at its moment, whatever became of those before it."""

import random
import resource
from collections.abc import Callable
from time import perf_counter
from typing import Any

import gevent
from locust.contrib.fasthttp import FastHttpSession

from loadtests.engine.alarm import Alarm
from loadtests.engine.arrivals import Share, arrivals
from loadtests.engine.recorder import Recorder
from loadtests.engine.sending import send, session
from loadtests.histograms import Histogram
from loadtests.stages import RequestSpec, Stage

MOST_IN_FLIGHT = 10_000
"""
Requests in flight of all generators together. Each takes a port of this machine, and Linux has
28,232 of them for one address, those of the last minute's closed connections included.
"""
OTHER_DESCRIPTORS = 100  # what a generator has open beside its requests, generously
CATCH_UP = 1.0  # seconds after a stage's end in which what is late is still sent


class Dispatcher:
    """
    Sends one open stage's share of requests, a greenlet each, by clients of its own.

    An idle client is taken before a new one is made, the last used one first, so that connections
    stay warm and as many are open as the deployment makes necessary.

    Args:
        request_event: Locust's, which tells the recorder and the web UI of each request.
        choose: one of the stage's requests, by weight.
    """

    def __init__(
        self,
        stage: Stage,
        share: Share,
        recorder: Recorder,
        request_event: Any,
        choose: Callable[[random.Random], RequestSpec],
    ) -> None:
        self._stage, self._share = stage, share
        self._recorder, self._request_event, self._choose = recorder, request_event, choose
        self._bound = most_in_flight(share.of)
        self._playing: gevent.Greenlet[..., None] | None = None
        self.flying: dict[Any, tuple[str, float]] = {}
        """By greenlet: request, and when it was meant to start."""
        self._idle: dict[float, list[FastHttpSession]] = {}
        self._length = stage.settle + stage.measure
        self._moment = 0.0  # intended start of the request that is sent next
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

    def hush(self) -> None:
        """Send nothing more that is meant to start after the stage's end."""
        if self._playing is not None and self._moment >= self._length:
            self._playing.kill()

    def join(self, patience: float) -> None:
        """Wait `patience` seconds for the last answers."""
        deadline = perf_counter() + patience
        gevent.joinall([self._playing] if self._playing else [], patience)
        gevent.joinall(list(self.flying), max(0.0, deadline - perf_counter()))

    def close(self) -> None:
        """Give up what is in flight and close all connections: the next stage has its own."""
        gevent.killall([self._playing, *self.flying] if self._playing else [])
        for clients in self._idle.values():
            for client in clients:
                client.client.clientpool.close()

    def _play(self, at: float) -> None:
        stage, share = self._stage, self._share
        draw = random.Random(f"requests/{stage.seed}/{stage.number}/{share.index}/{share.of}")
        too_late = at + self._length + CATCH_UP
        with Alarm() as alarm:
            for moment in arrivals(stage, share, beyond=stage.settle):
                self._moment = moment
                intended = at + moment
                if intended > perf_counter():
                    alarm.sleep_until(intended)
                request = self._choose(draw)
                late = perf_counter() > max(too_late, intended + CATCH_UP)
                if late or len(self.flying) >= self._bound:
                    self._recorder.unsent(request.name, intended)
                else:
                    sending = gevent.spawn(self._send, request, intended, moment)
                    self.flying[sending] = request.name, intended

    def _send(self, request: RequestSpec, intended: float, moment: float) -> None:
        idle = self._idle.setdefault(request.timeout, [])
        client = idle.pop() if idle else session(self._request_event, request.timeout)
        if self._stage.settle <= moment < self._length:
            self.late.record(perf_counter() - intended)
        try:
            send(client, self._stage.target, request, intended, self._stage.telemetry)
        finally:
            idle.append(client)
            self.flying.pop(gevent.getcurrent(), None)


def most_in_flight(generators: int) -> int:
    """How many requests one of so many generators on this machine may have in flight."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(MOST_IN_FLIGHT // generators, descriptors - OTHER_DESCRIPTORS), 1)
