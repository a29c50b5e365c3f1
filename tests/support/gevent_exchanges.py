"""Prints what becomes of requests at servers that behave well and badly: JSON, by scenario.

    python tests/support/gevent_exchanges.py SCENARIO ...

A process of its own: importing Locust patches everything.
"""

import gzip
import json
import os
import resource
import socket
import struct
import sys
import zlib
from contextlib import contextmanager
from time import perf_counter

import brotli
import gevent
import gevent.server
import gevent.ssl
from gevent.event import Event
from locust.env import Environment

from loadtests.engine.arrivals import GeneratorShare
from loadtests.engine.connection import ClientConnection
from loadtests.engine.generator import Generator
from loadtests.engine.lean import LeanUser
from loadtests.engine.own_users import OwnUsers
from loadtests.engine.recorder import Recorder
from loadtests.engine.sending import Sender
from loadtests.engine.statistics import Statistics
from loadtests.recording.messages import GeneratorDone, RequestSpec, Stage
from loadtests.recording.slices import Slice

LONG = 30.0  # seconds; a timeout that is not to be reached
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


class Server:
    """
    Notes each request and calls `answer(sock, number, connection)` for it; both count from 0.

    What `answer` returns is sent; None closes the connection.
    """

    def __init__(self, answer, host="127.0.0.1", tls=None):
        self.answer, self.tls = answer, tls
        self.connections, self.closed = 0, 0
        self.requests = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = gevent.socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, 0))
        listener.listen(128)
        self.server = gevent.server.StreamServer(listener, self.serve)
        self.server.start()
        self.port = listener.getsockname()[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def serve(self, sock, _address):
        connection, self.connections = self.connections, self.connections + 1
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            while (request := read(sock)) is not None:
                number = len(self.requests)
                self.requests.append(request)
                answer = self.answer(sock, number, connection)
                if answer is None:
                    break
                sock.sendall(answer)
        except OSError:
            pass  # the client is gone
        finally:
            self.closed += 1
            sock.close()


def read(sock):
    """One request, head and body; None at the end of the stream."""
    whole = b""
    while b"\r\n\r\n" not in whole:
        part = sock.recv(65_536)
        if not part:
            return None
        whole += part
    head, _, body = whole.partition(b"\r\n\r\n")
    missing = sum(
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ) - len(body)
    while missing > 0:
        part = sock.recv(65_536)
        if not part:
            return None
        missing -= len(part)
    return head


def ok(body=b"ok", *headers):
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def spec(method="GET", **values):
    values = {"path": "/", "timeout": LONG, "weight": 1} | values
    return RequestSpec(name=f"{method} {values['path']}", method=method, **values)


def stage_of(url, *requests, **values):
    values = {"level": 1, "think_time": 0, "settle": 0, "measure": 600, "seed": 1} | values
    return Stage(number=0, deployment="a", target=url, requests=requests, **values)


class Client:
    """Sends as a user does: the requests of one stage, by number, on one connection."""

    def __init__(self, url, *requests, **values):
        self.environment = Environment()
        recorder = self.recorder = Recorder()
        self.environment.events.request.add_listener(recorder.on_request)
        statistics = Statistics(self.environment, recorder.on_request)
        self.sender = Sender(recorder, self.environment.events.request, statistics)
        self.calls = self.sender.prepare(stage_of(url, *requests, **values), GeneratorShare())
        recorder.begin(0, perf_counter(), 600)
        self.connection = ClientConnection(self.sender.endpoint)

    def send(self, *numbers):
        for number in numbers or (0,):
            self.sender.send(self.calls[number], self.connection)
        return self

    def seen_closed(self):
        """Wait until the end of the stream has come."""
        while not self.connection._wire.readable():
            gevent.sleep(0.005)
        return self

    def result(self):
        whole = Slice(stage=0, index=0, request="")
        for part in self.recorder.drain():
            whole.add(part)
        return {
            "statuses": whole.statuses,
            "kinds": whole.kinds,
            "bytes": whole.bytes,
            "phases": bool(whole.phases),
            "reopened": self.sender.endpoint.reopened,
            "times": [seconds for seconds, _ in whole.failed.recorded()],
            "in flight": len(self.sender.flights),
        }


def played(server, client):
    methods = [request.partition(b" ")[0].decode() for request in server.requests]
    return client.result() | {"requests": methods, "connections": server.connections}


@scenario
def kept():
    server = Server(lambda *_: ok())
    client = Client(server.url, spec(), spec("POST", body="x"), spec("HEAD"))
    return played(server, client.send(0, 1, 0))


@scenario
def kept_after_head():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    server = Server(lambda _s, number, _c: ok() if number % 2 else head)
    client = Client(server.url, spec("HEAD"), spec())
    return played(server, client.send(0, 1, 0, 1))


@scenario
def closed_while_idle():
    def answer(sock, number, connection):
        sock.sendall(ok())

    server = Server(answer)
    client = Client(server.url, spec(), spec("POST"))
    client.send(0).seen_closed().send(1).seen_closed().send(0)
    return played(server, client)


def closing(method, close, closed_ones=(1,)):
    """A kept connection is closed when another request has come, without an answer to it."""

    def answer(sock, number, connection):
        if number not in closed_ones:
            return ok()
        return close(sock)

    server = Server(answer)
    return played(server, Client(server.url, spec(method)).send(0, 0))


@scenario
def closed_on_arrival_of_a_get():
    return closing("GET", lambda sock: None)


@scenario
def closed_on_arrival_of_a_get_and_again():
    return closing("GET", lambda sock: None, (1, 2))


@scenario
def closed_on_arrival_of_a_post():
    return closing("POST", lambda sock: None)


@scenario
def reset_on_arrival_of_a_get():
    return closing("GET", reset)


@scenario
def reset_on_arrival_of_a_post():
    return closing("POST", reset)


@scenario
def closed_on_arrival_at_a_new_connection():
    return closing("GET", lambda sock: None, (0, 1))


@scenario
def closed_in_the_middle_of_an_answer():
    return closing("GET", lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\nCont"))


@scenario
def an_answer_that_nobody_asked_for():
    def answer(sock, number, connection):
        sock.sendall(ok(b"1" if number == 0 else b"333"))
        if number == 0:
            asked.wait()
            sock.sendall(ok(b"22"))
        return b""

    asked = Event()
    server = Server(answer)
    client = Client(server.url, spec()).send()
    asked.set()
    return played(server, client.seen_closed().send())


@scenario
def no_answer():
    server = Server(lambda *_: gevent.sleep(LONG))
    return played(
        server, Client(server.url, spec("POST", timeout=0.3), spec(timeout=0.5)).send(0, 1)
    )


@scenario
def an_answer_without_end():
    def answer(sock, number, connection):
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b".")
            gevent.sleep(0.05)

    server = Server(answer)
    return played(server, Client(server.url, spec(timeout=0.4)).send())


@scenario
def headers_without_end():
    def answer(sock, number, connection):
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            sock.sendall(b"X: y\r\n" * 100)

    server = Server(answer)
    return played(server, Client(server.url, spec()).send())


@contextmanager
def crowded():
    """The port of a listener that accepts nobody, and whose queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
            waiting.append(one)
        gevent.sleep(0.05)
        yield listener.getsockname()[1]
        for one in waiting:
            one.close()


@scenario
def no_connection():
    with crowded() as port:
        return Client(f"http://127.0.0.1:{port}", spec(timeout=0.4)).send().result()


@scenario
def nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return Client(f"http://127.0.0.1:{port}", spec()).send().result()


@scenario
def no_such_host():
    return Client(f"http://{'x' * 70}.invalid:80", spec()).send().result()


@scenario
def failing_at_once():
    """A user whose requests all fail without any wait, next to another greenlet with a timer."""
    client = Client(f"http://{'x' * 70}.invalid:80", spec())
    others = gevent.spawn(gevent.sleep, 0.01)
    for sent in range(1, 20_000):
        client.send()
        if others.dead:
            return sent
    return None


@scenario
def over_ipv6():
    try:
        server = Server(lambda *_: ok(), host="::1")
    except OSError:
        return None
    client = Client(f"http://[::1]:{server.port}", spec()).send()
    host = b"Host: [::1]:%d" % server.port in server.requests[0].split(b"\r\n")
    return played(server, client) | {"host": host}


@scenario
def codings():
    body = b"a text of some length, and a needle in it" * 50
    coded = {
        "gzip": gzip.compress(body), "deflate": zlib.compress(body), "br": brotli.compress(body),
        "identity": body,
    }  # fmt: skip
    found = {}
    for name, sent in coded.items():
        reply = ok(sent, b"Content-Encoding: " + name.encode())
        server = Server(lambda *_, reply=reply: reply)
        client = Client(server.url, spec(contains="needle"), spec(contains="thread")).send(0, 1)
        found[name] = client.result() | {"coded": len(sent)}
    return found


@scenario
def stamped():
    timing = b"Server-Timing: " + os.environ["TIMING"].encode()
    server = Server(lambda *_: ok(b"ok", timing))
    client = Client(server.url, spec(), telemetry=True).send(0, 0, 0)
    stamps = [
        int(line.partition(b":")[2])
        for request in server.requests
        for line in request.split(b"\r\n")
        if line.startswith(b"x-sent-mono")
    ]
    return played(server, client) | {"stamps": stamps}


class Refusing(Server):
    """Answers when it has read the head alone."""

    def __init__(self, then):
        super().__init__(None)
        self.then = then

    def serve(self, sock, _address):
        self.connections += 1
        self.requests.append(sock.recv(1000))
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch")
        self.then(sock)
        sock.close()


def early(then):
    server = Refusing(then)
    large = "x" * 20_000_000
    client = Client(server.url, spec("POST", body=large, statuses=(413,))).send()
    return played(server, client)


@scenario
def refused_early_and_closed():
    return early(lambda sock: None)


@scenario
def refused_early_and_not_read():
    done = Event()
    gevent.spawn_later(LONG, done.set)
    return early(lambda sock: sock.recv(1) and done.wait(LONG / 2))


@scenario
def a_large_request():
    server = Server(lambda *_: ok())
    return played(server, Client(server.url, spec("PUT", body="x" * 20_000_000)).send(0, 0))


@scenario
def a_large_request_with_an_interim_answer():
    def serve(sock, _address):
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        gevent.sleep(0.1)
        left = 20_000_000
        while left > 2000:
            left -= len(sock.recv(1 << 20))
        sock.sendall(ok())

    server = gevent.server.StreamServer(("127.0.0.1", 0), serve)
    server.start()
    url = f"http://127.0.0.1:{server.server_port}"
    return Client(url, spec("PUT", body="x" * 20_000_000)).send().result()


@scenario
def a_large_answer():
    size = 1 << 30

    def answer(sock, number, connection):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        part = bytes(1 << 20)
        for _ in range(size >> 20):
            sock.sendall(part)
        return b""

    server = Server(answer)
    client = Client(server.url, spec(timeout=600))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.send()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return played(server, client) | {"kilobytes more": grown}


@scenario
def killed():
    server = Server(lambda _s, number, _c: gevent.sleep(LONG) if number == 0 else ok())
    client = Client(server.url, spec())
    user = gevent.spawn(client.send)
    while not server.requests:
        gevent.sleep(0.005)
    user.kill()
    nothing = client.result()
    return {"killed": nothing, "then": played(server, client.send())}


class Load:
    """A generator that plays one stage; what it sent, and what Locust has of it."""

    def __init__(self, stage, listener=None):
        self.environment = Environment()
        self.environment.create_local_runner()  # it has Locust's own listener
        done = Event()
        self.messages = []

        def take(message):
            self.messages.append(message)
            if isinstance(message, GeneratorDone):
                done.set()

        generator = Generator("local", take, OwnUsers(), self.environment, dict)
        self.environment.events.request.add_listener(generator.recorder.on_request)
        if listener is not None:
            self.environment.events.request.add_listener(listener)
        generator.prepare(stage, GeneratorShare())
        generator.go(perf_counter() + 0.05)
        done.wait(60)

    def result(self):
        done = self.messages[-1]
        parts = [part for message in self.messages[:-1] for part in message.slices]
        stats = self.environment.stats
        return {
            "started": sum(part.started for part in parts),
            "succeeded": sum(part.succeeded for part in parts),
            "beyond": done.beyond, "reopened": done.reopened,
            "total": stats.total.num_requests, "failures": stats.total.num_failures,
        }  # fmt: skip


OPEN = {"model": "open", "level": 50, "arrivals": "even", "settle": 0.25, "measure": 1}


@scenario
def open_model_with_connections_that_are_closed():
    def answer(sock, number, connection):
        sock.sendall(ok())

    server = Server(answer)
    load = Load(stage_of(server.url, spec("POST"), **OPEN))
    return load.result() | {"arrived": len(server.requests)}


@scenario
def listeners():
    heard = []
    server = Server(lambda *_: ok())
    load = Load(
        stage_of(server.url, spec("POST"), **OPEN),
        lambda response, url, **values: heard.append(
            [response.status_code, url, values["name"], values["request_type"],
             values["response_length"], values["response_time"] > 0, values["exception"]]
        ),
    )  # fmt: skip
    wanted = [200, f"{server.url}/", "POST /", "POST", 2, True, None]
    return load.result() | {"arrived": len(server.requests), "heard": heard.count(wanted)}


class Asking(LeanUser):
    abstract = False


def lean(answer, ask, **values):
    """What a LeanUser gets, and what listeners hear."""
    server = Server(answer)
    Asking.host = server.url + "/api"
    for name, value in values.items():
        setattr(Asking, name, value)
    environment = Environment(user_classes=[Asking])
    heard = []
    environment.events.request.add_listener(
        lambda name, request_type, response_length, exception, context, user, **_: heard.append(
            [request_type, name, response_length, exception and str(exception), context,
             isinstance(user, Asking)]
        )
    )  # fmt: skip
    user = Asking(environment)
    found = ask(user.client)
    user.on_stop()
    return {
        "found": found, "heard": heard, "connections": server.connections,
        "sent": [request.decode() for request in server.requests],
    }  # fmt: skip


@scenario
def lean_methods():
    def ask(client):
        answers = [
            client.get("/a", params={"q": ["x y", 2]}, name="query"),
            client.head("/a"),
            client.options("/a"),
            client.delete("/a"),
            client.post("/a", json={"k": 1}),
            client.put("/a", data={"k": "v w"}, headers={"X-Own": "1"}),
            client.patch("/a", data="text", context={"more": 1}),
        ]
        return [[one.status_code, one.ok, one.text] for one in answers]

    return lean(lambda _s, number, _c: ok(b"" if number == 1 else b"ok"), ask)


@scenario
def lean_bodies():
    body = json.dumps({"a": "ü"}).encode()
    coded = {"gzip": gzip.compress(body), "br": brotli.compress(body), "identity": body}

    def answer(_sock, number, _connection):
        name = list(coded)[number]
        return ok(coded[name], b"Content-Encoding: " + name.encode(), b"X-A: 1", b"x-a: 2")

    def ask(client):
        answers = [client.get("/") for _ in coded]
        return [[one.json(), one.headers["x-A"], len(one.content)] for one in answers]

    return lean(answer, ask)


@scenario
def lean_failures():
    def answer(_sock, number, _connection):
        if number == 3:
            gevent.sleep(LONG)
        return b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"

    def ask(client):
        with client.get("/caught", catch_response=True) as response:
            response.success()
        with client.get("/failed", catch_response=True) as response:
            response.failure("not what was ordered")
        redirected = client.get("/redirected")
        late = client.get("/late", timeout=0.3)
        refused = []
        for words in ({"path": "http://elsewhere/"}, {"path": "/", "json": 1, "data": "x"}):
            try:
                client.request("POST", **words)
            except ValueError as error:
                refused.append(str(error))
        return [redirected.status_code, late.status_code, str(late.error), *refused]

    return lean(answer, ask)


# With a certificate of its own, whose files the environment names.


def tls(certificate):
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.names = []  # type: ignore[attr-defined]
    context.sni_callback = lambda _sock, name, _context: context.names.append(name)  # type: ignore[attr-defined]
    return context


def secured(host, close_after=None):
    context = tls(os.environ["CERTIFICATE"])

    def answer(sock, number, connection):
        if number == close_after:
            sock.sendall(ok())
            return None
        return ok()

    server = Server(answer, tls=context)
    return server, Client(f"https://{host}:{server.port}", spec(), spec("POST")), context.names


@scenario
def tls_to_a_name():
    server, client, names = secured("localhost")
    return played(server, client.send(0, 1, 0)) | {"names": names}


@scenario
def tls_to_an_address():
    _, client, _ = secured("127.0.0.1")
    return client.send().result()


@scenario
def tls_that_is_closed():
    server, client, _ = secured("localhost", close_after=0)
    return played(server, client.send(0).seen_closed().send(1))


@scenario
def tls_without_a_handshake():
    server = Server(lambda *_: None)  # takes what comes for a request
    url = f"https://127.0.0.1:{server.port}"
    return Client(url, spec(timeout=0.4)).send().result()


@scenario
def tls_without_an_answer():
    context = tls(os.environ["CERTIFICATE"])
    server = Server(lambda *_: gevent.sleep(LONG), tls=context)
    return Client(f"https://localhost:{server.port}", spec(timeout=0.4)).send().result()


if __name__ == "__main__":
    print(json.dumps({name: SCENARIOS[name]() for name in sys.argv[1:]}))
