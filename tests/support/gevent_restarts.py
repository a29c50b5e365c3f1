"""Prints how many connections a user holds after each of several stages, and once it is stopped.

Each stage is on a new address. A process of its own: importing Locust patches everything.
"""

import json
import sys
from contextlib import suppress

import gevent
import gevent.server
from locust.env import Environment
from locust.exception import StopUser

from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.recorder import Recorder
from loadtests.engine.sending import Sender
from loadtests.engine.statistics import Statistics
from loadtests.engine.users import PlanUser
from loadtests.recording.messages import RequestSpec, Stage

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
REQUEST = RequestSpec(name="/", method="GET", path="/", weight=1, timeout=5.0)
STAGES = int(sys.argv[1])
ENVIRONMENT = Environment(user_classes=[PlanUser])


class Counted:
    """A server that knows how many connections it has."""

    def __init__(self):
        self.open = 0
        self.server = gevent.server.StreamServer(("127.0.0.1", 0), self.serve)
        self.server.start()

    def serve(self, sock, _address):
        self.open += 1
        file = sock.makefile("rb")
        while line := file.readline():
            if line == b"\r\n":
                sock.sendall(ANSWER)
        self.open -= 1


class Stages:
    """A generator that plays `a` at a new address each time, in turns with `b`, which stays."""

    def __init__(self):
        self.servers = [Counted() for _ in range(STAGES + 1)]
        self.found = []
        self.number = 0
        self.begun = True
        recorder = Recorder()
        statistics = Statistics(ENVIRONMENT, recorder.on_request)
        self.sender = Sender(recorder, ENVIRONMENT.events.request, statistics)

    def begin(self, user):
        self.begun = False

    def enter(self):
        if not self.begun:
            self.begun = True
            return self.stage
        if self.number:
            gevent.sleep(0.05)  # a server sees an end once it reads
            self.found.append([one.open for one in self.servers])
        if self.number == 2 * STAGES:
            raise StopUser
        place = -1 if self.number % 2 else self.number // 2
        self.number += 1
        target = f"http://127.0.0.1:{self.servers[place].server.server_port}"
        self.stage = Stage(
            number=self.number, deployment="b" if place == -1 else "a", target=target, level=1,
            think_time=0, settle=0, measure=1, requests=(REQUEST,), seed=1,
        )  # fmt: skip
        self.calls = self.sender.prepare(self.stage, GeneratorShare())
        return self.stage

    def choose(self, draw):
        return self.calls[0]


stages = Stages()
PlanUser.generator = stages
user = PlanUser(ENVIRONMENT)
user.on_start()
with suppress(StopUser):
    user.play()
user.on_stop()
gevent.sleep(0.05)
print(json.dumps([*stages.found, [one.open for one in stages.servers]]))
