"""Serves a variant with uvicorn: one process, or several that share one listening socket."""

import json
import multiprocessing
import os
import signal
import socket
from functools import partial
from multiprocessing.process import BaseProcess
from threading import Thread, Timer
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from app_under_test import variants
from app_under_test.settings import Settings
from app_under_test.telemetry import Telemetry

GRACE = 1.0  # seconds that requests in flight get when the service is told to end


def serve(variant: str, upstream: str, settings: Settings, listener: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT; prints one line of JSON once every worker is ready."""
    config = uvicorn.Config(
        partial(create_app, variant, upstream, settings),
        factory=True,
        loop="app_under_test.loops:new_event_loop",
        http="httptools",
        lifespan="on",
        log_level="warning",
        access_log=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_worker_healthcheck=30,  # importing takes seconds where many processes start
        workers=settings.workers,
    )
    ready = {
        "ready": True,
        "url": url_of(listener),
        "pid": os.getpid(),
        "variant": variant,
        "workers": settings.workers,
    }
    line = json.dumps(ready)
    if settings.workers > 1:
        WorkerSupervisor(config, listener, line).run()
    else:
        Server(config, line).run([listener])


def create_app(variant: str, upstream: str, settings: Settings) -> Telemetry:
    """The app of one process. uvicorn calls this in the main thread, its signal handlers set."""
    bound_the_end()
    if supervisor := multiprocessing.parent_process():
        Thread(target=end_with, args=(supervisor,), daemon=True).start()
    return Telemetry(variants.create_app(variant, upstream, settings))


def bound_the_end() -> None:
    """
    Ends the process a little after the first signal, whatever is under way, and at the second.

    uvicorn waits for the requests in flight, or cancels them with a traceback for each; neither
    helps where the loop itself is blocked, or a thread waits for an upstream that never answers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(end_soon, signal.getsignal(number)))


def end_soon(shut_down: Any, number: int, frame: FrameType | None) -> None:
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: os._exit(0))
    deadline = Timer(GRACE, os._exit, [0])
    deadline.daemon = True
    deadline.start()
    # uvicorn raises the signal again when it has shut down: SIGINT would end a worker process with
    # a traceback.
    shut_down(signal.SIGTERM, frame)


def end_with(supervisor: BaseProcess) -> None:
    """Waits for the supervisor's end: one that was killed could tell nobody."""
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(line: str) -> None:
    """Print where it serves; when nobody can read that any more, it ends."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os._exit(141)  # as a shell reports a process that SIGPIPE ended


class Server(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config, line: str) -> None:
        super().__init__(config)
        self.line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _say(self.line)


class WorkerSupervisor(Multiprocess):
    """Starts the workers, says when all of them serve, and replaces one that dies."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, line: str) -> None:
        super().__init__(config, [listener])
        self.line: str | None = line

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self.line and all(process.is_ready() for process in self.processes):
            _say(self.line)
            self.line = None
