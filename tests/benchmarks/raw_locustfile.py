"""Our locustfile, with raw timestamps of every request beside the recorder, in the same process."""

import json
import os
from time import perf_counter

from locust import events

from loadtests.engine.conductor import Levels as Levels
from loadtests.engine.users import PlanUser
from loadtests.engine.wiring import install

install()
stamps: list[tuple[int, float, float]] = []  # stage, start, end


class StampedUser(PlanUser):
    """Stamps right before and right after the client's call."""

    def _send(self, stage, request):
        start = perf_counter()
        super()._send(stage, request)
        stamps.append((stage.number, start, perf_counter()))


del PlanUser


@events.quitting.add_listener
def write(**_):
    with open(os.environ["RAW_STAMPS"], "w", encoding="utf-8") as file:
        json.dump(stamps, file)
