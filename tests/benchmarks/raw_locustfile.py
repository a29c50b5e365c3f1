"""Our locustfile, with raw timestamps of every request, recorded in the same process."""

import json
import os
from time import perf_counter

from locust import events

from loadtests.engine.answers import AnswerParser
from loadtests.engine.conductor import UserCountShape as UserCountShape
from loadtests.engine.connection import ClientConnection, PreparedRequest
from loadtests.engine.locust_hooks import install
from loadtests.engine.users import PlanUser

install()
stamps: list[tuple[int, float, float]] = []  # stage, start, end


def stamped(connection: ClientConnection, request: PreparedRequest) -> AnswerParser:
    """Stamp right before and right after the exchange."""
    stage = PlanUser.generator._stage.number
    start = perf_counter()
    answer = exchange(connection, request)
    stamps.append((stage, start, perf_counter()))
    return answer


exchange = ClientConnection.exchange
ClientConnection.exchange = stamped  # type: ignore[method-assign]


@events.quitting.add_listener
def write(**_):
    with open(os.environ["RAW_STAMPS"], "w", encoding="utf-8") as file:
        json.dump(stamps, file)
