"""Prints how many connections 20 requests of one session open, at low and at high descriptors.

A process of its own: importing Locust patches everything.
"""

import json
import os
import sys

import gevent.server
from locust.contrib.fasthttp import FastHttpSession
from locust.event import EventHook

from loadtests.engine import keepalive

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok"
connections = 0


def serve(sock, _address):
    global connections
    connections += 1
    file = sock.makefile("rb")
    while line := file.readline():
        if line == b"\r\n":
            sock.sendall(ANSWER)


def opened(url):
    global connections
    connections = 0
    session = FastHttpSession(base_url=url, request_event=EventHook(), user=None)
    for _ in range(20):
        assert session.get("/").status_code == 200
    return connections, session


keepalive.install() if "install" in sys.argv else None
server = gevent.server.StreamServer(("127.0.0.1", 0), serve)
server.start()
url = f"http://127.0.0.1:{server.server_port}"
low, first = opened(url)
held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
high, second = opened(url)
print(json.dumps({"low": low, "high": high, "descriptor": held[-1]}))
