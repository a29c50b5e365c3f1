"""The user that plays a plan's requests."""

import random
from typing import ClassVar

from locust import User, constant, task

from loadtests.engine.connection import ClientConnection
from loadtests.engine.generator import Generator
from loadtests.plans import overrides
from loadtests.recording.messages import Stage


class PlanUser(User):
    """Sends one of the stage's requests at a time to the stage's deployment, and thinks."""

    host = overrides.PLANNED  # Locust shows it; the stage names the target
    wait_time = constant(0)
    generator: ClassVar[Generator]
    _born = 0

    def on_start(self) -> None:
        PlanUser._born += 1
        self._number = PlanUser._born
        self._draw = random.Random()
        self._stage: Stage | None = None
        self._connections: dict[str, ClientConnection] = {}  # one for each deployment

    def on_stop(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()

    @task
    def play(self) -> None:
        """Send requests until the user is stopped: Locust's own loop costs a tenth of one more."""
        generator = self.generator
        sender = generator.sender
        while True:
            stage = generator.enter()
            if stage is not self._stage:
                self._stage = stage
                connection = self._connection(stage)
                self._draw = generator.begin(self._number)
                continue  # the stage may be over
            sender.send(generator.choose(self._draw), connection)
            if stage.think_time:
                generator.pause(stage.think_time)

    def _connection(self, stage: Stage) -> ClientConnection:
        """The connection to the stage's deployment; a restarted deployment has a new one."""
        endpoint = self.generator.sender.endpoint
        connection = self._connections.get(stage.deployment)
        if connection is None:
            connection = self._connections[stage.deployment] = ClientConnection(endpoint)
        elif connection.endpoint.target != endpoint.target:
            connection.close()
        connection.endpoint = endpoint
        return connection
