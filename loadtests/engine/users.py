"""The user that plays a plan's requests."""

import random
from typing import ClassVar

from locust import FastHttpUser, constant, task
from locust.contrib.fasthttp import FastHttpSession

from loadtests import choices
from loadtests.engine.generator import Generator
from loadtests.engine.sending import disconnect, send, session
from loadtests.stages import RequestSpec, Stage


class PlanUser(FastHttpUser):
    """Sends one of the stage's requests at a time to the stage's deployment, and thinks."""

    host = choices.PLANNED  # Locust shows it; the stage names the target
    wait_time = constant(0)
    generator: ClassVar[Generator]
    _born = 0

    def on_start(self) -> None:
        PlanUser._born += 1
        self._number = PlanUser._born
        self._draw = random.Random()
        self._stage = -1
        self._clients: dict[float, FastHttpSession] = {}
        self._targets: dict[str, str] = {}  # of each deployment; a restart changes them

    def on_stop(self) -> None:
        """Close the connections, which else stay open until the garbage collector runs."""
        for client in self._clients.values():
            client.client.clientpool.close()

    @task
    def play(self) -> None:
        """Until the user is stopped: what Locust does between two tasks costs a tenth of one."""
        generator = self.generator
        while True:
            stage = generator.enter()
            if stage.number != self._stage:
                self._stage = stage.number
                self._leave(self._targets.get(stage.deployment, stage.target), stage.target)
                self._targets[stage.deployment] = stage.target
                self._draw = generator.begin(self._number)
                continue  # the stage may be over
            request = generator.choose(self._draw)
            number = generator.departs(request)
            try:
                self._send(stage, request)
            finally:
                generator.returns(number)
            if stage.think_time:
                generator.pause(stage.think_time)

    def _leave(self, before: str, target: str) -> None:
        """Without it, each restart would leave a dead connection of each user."""
        if before != target:
            for client in self._clients.values():
                disconnect(client, before)

    def _send(self, stage: Stage, request: RequestSpec) -> None:
        client = self._clients.get(request.timeout)
        if client is None:
            client = session(self.environment.events.request, request.timeout, self)
            self._clients[request.timeout] = client
        send(client, stage.target, request, telemetry=stage.telemetry)
