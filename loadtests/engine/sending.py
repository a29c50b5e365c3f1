"""One request on its way, and what is recorded of it; the same in both models."""

from time import perf_counter, time
from types import SimpleNamespace
from typing import Any

from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.calls import Bodies, Call
from loadtests.engine.coin import Coin, left_alone
from loadtests.engine.connection import ClientConnection, Endpoint
from loadtests.engine.failures import RequestFailed, kind_of
from loadtests.engine.flights import Flights
from loadtests.engine.recorder import PHASES, SERVICE_TIME, Recorder
from loadtests.engine.redirects import followed, is_redirect
from loadtests.engine.statistics import Statistics
from loadtests.recording import server_timing
from loadtests.recording.messages import RequestSpec, Stage

_TIMING = server_timing.HEADER.encode()
_FAILURES = (RequestFailed, OSError)  # ssl.SSLError is one of the latter


class Sender:
    """
    Sends the requests of a stage, each on the connection of its user.

    Args:
        request_event: Locust's. It is fired for each request where somebody listens who is neither
            the recorder nor Locust's own statistics; these two take what they need directly.
    """

    def __init__(self, recorder: Recorder, request_event: Any, statistics: Statistics) -> None:
        self.flights = Flights()
        self.endpoint = Endpoint("")
        self.coin: Coin | None = None
        """Of the stage; None: its deployment is not asked for its phases."""
        self._recorder, self._statistics = recorder, statistics
        self._event = request_event
        self._heard = False
        self._bodies: dict[tuple[str, str], Bodies] = {}  # by deployment and request

    def prepare(self, stage: Stage, share: GeneratorShare) -> list[Call]:
        """The requests of a stage, ready to be sent; the name of its host is looked up here."""
        self.endpoint = Endpoint(stage.target, stage.trust)
        self.endpoint.resolve()
        self._heard = self._statistics.others_listen(self._event)
        self._statistics.begin(stage, self._heard)
        self.flights.watch(min((request.timeout for request in stage.requests), default=0.0))
        self.coin = Coin(stage, share) if stage.telemetry else None
        calls = [
            Call(self.endpoint, request, bodies=self._bodies_of(stage, request))
            for request in stage.requests
        ]
        if self.coin is not None:
            for call in calls:
                if not left_alone(call.spec):
                    call.twin = Call(self.endpoint, call.spec, True, call.bodies)
        return calls

    def _bodies_of(self, stage: Stage, request: RequestSpec) -> Bodies:
        return self._bodies.setdefault((stage.deployment, request.name), Bodies(request))

    def send(self, call: Call, connection: ClientConnection, intended: float | None = None) -> None:
        """
        Send, wait, judge the answer and record it.

        Args:
            intended: when it was meant to start (seconds, `perf_counter`), in the open model. The
                response time is that from there, and the service time that from the sending.
        """
        spec, flights = call.spec, self.flights
        begun = perf_counter()
        if call.twin is not None and self.coin is not None and self.coin.toss(begun):
            call = call.twin
        number = flights.departs(spec.name, intended or begun, connection, spec.timeout)
        error: BaseException | None = None
        answer = None
        try:
            answer = connection.exchange(call)
            if call.spec.follow and is_redirect(answer):
                answer, call = followed(connection, call, answer)
        except _FAILURES as failure:
            error, answer = failure, None
        finally:
            ended = perf_counter()
            flights.returns(number)
        phases = None
        status = size = 0
        if answer is not None:
            status, size = answer.status, answer.size
            error = call.unexpected(answer)
            if call.stamped and error is None:
                lines = [line.decode("latin-1") for line in answer.header(_TIMING)]
                phases = server_timing.phases(
                    lines[0] if len(lines) == 1 else lines or None,
                    ended - begun,
                    ended - answer.headed_at,
                )
        if self._heard:
            self._fire(call, begun, ended, intended, status, size, error, phases)
        else:
            kind = None if error is None else kind_of(error)
            within = self._recorder.record(
                spec.name, begun, ended, connection.answered, status, size, kind, intended, phases
            )
            if error is not None or not within:
                self._statistics.log(spec, ended - (intended or begun), size, error, within)
        connection.answered = ended

    def _fire(
        self,
        call: Call,
        begun: float,
        ended: float,
        intended: float | None,
        status: int,
        size: int,
        error: BaseException | None,
        phases: list[float] | None,
    ) -> None:
        """Fire the request event; the recorder is one of its listeners."""
        context: dict[str, Any] = {} if phases is None else {PHASES: phases}
        response_time = (ended - begun) * 1000
        if intended is not None:
            context[SERVICE_TIME] = response_time
            response_time = (ended - intended) * 1000
        self._event.fire(
            request_type=call.spec.method,
            name=call.spec.name,
            response_time=response_time,
            response_length=size,
            response=SimpleNamespace(status_code=status, url=call.url),
            context=context,
            exception=error,
            start_time=time() - (perf_counter() - begun),
            url=call.url,
        )
