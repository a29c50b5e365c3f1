"""The user that plays a plan's requests."""

import random
from typing import ClassVar

import gevent
from locust import FastHttpUser, constant, task
from locust.contrib.fasthttp import FastHttpSession

from loadtests import choices
from loadtests.engine.generator import Generator
from loadtests.engine.recorder import UnexpectedAnswer
from loadtests.stages import RequestSpec, Stage


class PlanUser(FastHttpUser):
    """Sends one of the stage's requests at a time to the stage's deployment, and thinks."""

    host = choices.PLANNED  # Locust shows it; the stage names the target
    wait_time = constant(0)
    concurrency = (
        1  # one connection for each deployment; also the client's hidden resends: at most one
    )
    generator: ClassVar[Generator]
    _born = 0

    def on_start(self) -> None:
        PlanUser._born += 1
        self._number = PlanUser._born
        self._draw = random.Random(self._number)
        self._stage = -1
        self._clients: dict[float, FastHttpSession] = {self.network_timeout: self.client}

    @task
    def play(self) -> None:
        stage = self.generator.enter(self._draw, self._stage)
        if stage.number != self._stage:
            self._stage = stage.number
            self._draw = random.Random(f"{stage.seed}/{stage.number}/{self._number}")
        self.generator.departs()
        try:
            self._send(stage, self.generator.choose(self._draw))
        finally:
            self.generator.returns()
        if stage.think_time:
            gevent.sleep(stage.think_time)

    def _send(self, stage: Stage, request: RequestSpec) -> None:
        with self._client(request.timeout).request(
            request.method,
            stage.target + request.path,
            name=request.name,
            headers=request.headers,
            data=request.body,
            catch_response=True,
            allow_redirects=False,
        ) as response:
            status = response.status_code
            if not status:
                return  # no answer; Locust has noted the error
            if status not in request.statuses if request.statuses else status >= 400:
                response.failure(UnexpectedAnswer(str(status), f"status {status}"))
            elif request.contains and request.contains not in (response.text or ""):
                text = f"the body does not contain {request.contains!r}"
                response.failure(UnexpectedAnswer("unexpected content", text))
            else:
                response.success()

    def _client(self, timeout: float) -> FastHttpSession:
        """This user's client for a timeout: the library fixes it when the client is made."""
        if timeout not in self._clients:
            self._clients[timeout] = FastHttpSession(
                base_url="",
                request_event=self.environment.events.request,
                user=self,
                network_timeout=timeout,
                connection_timeout=timeout,
                concurrency=self.concurrency,
            )
        return self._clients[timeout]
