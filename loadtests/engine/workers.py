"""Which processes are accepted as workers by Locust's master; junk messages are dropped.

With `--processes` the master and its workers are forked from one process. They share a key that no
other process has, and use an encrypted loopback socket: a stranger can neither send nor receive a
message. With `--master` and `--worker` on several machines there is no shared secret; there bytes
that are not a message of Locust's are dropped.
"""

import functools
import logging
import socket
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from locust import argument_parser
from locust.exception import RPCError, RPCReceiveError
from locust.rpc import Message, zmqrpc
from locust.runners import MasterRunner
from zmq.utils.monitor import parse_monitor_message

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LONGEST = 200  # letters of a worker's name: that of its host, and 33 more
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Family:
    """
    The socket between a master and the workers that are forked after this was made.

    A CurveZMQ client needs the server's public key for its first message, so a public key that is
    never published authenticates the workers and the master. The socket is bound here: no other
    process can take its port before the master listens on it.
    """

    def __init__(self) -> None:
        self._public, self._secret = zmq.curve_keypair()
        self._listener: socket.socket | None = socket.create_server((HOST, 0))
        self.address = f"tcp://{HOST}:{self._listener.getsockname()[1]}"
        self.failed = 0  # handshakes with the master

    def serve(self, master: Any) -> None:
        """Let the master's ZeroMQ socket listen."""
        master.curve_server = True
        master.curve_publickey, master.curve_secretkey = self._public, self._secret
        if self._listener is not None:  # None: Locust opens its socket again
            master.setsockopt(zmq.USE_FD, self._listener.detach())
            self._listener = None
        self._count_failures(master)
        master.bind(self.address)

    def _count_failures(self, master: Any) -> None:
        """Have a greenlet count the handshakes that fail, until the socket is closed."""
        endpoint = f"inproc://handshakes-{id(master)}"
        master.monitor(endpoint, _FAILED | zmq.EVENT_MONITOR_STOPPED)
        events = master.context.socket(zmq.PAIR)
        events.rcvhwm = 0  # a full queue would stop the thread that serves the workers
        events.connect(endpoint)

        def count() -> None:
            with events:
                while parse_monitor_message(events.recv_multipart())["event"] & _FAILED:
                    self.failed += 1

        gevent.spawn(count)

    def join(self, worker: Any) -> None:
        """Connect a worker's ZeroMQ socket."""
        if self._listener is not None:
            self._listener.close()  # the master's, which the fork has copied
            self._listener = None
        worker.curve_serverkey = self._public
        worker.curve_publickey, worker.curve_secretkey = zmq.curve_keypair()
        worker.connect(self.address)


_family: Family | None = None


def drain_failed_handshakes() -> int:
    """Return how many processes failed to become workers of this master since the last call."""
    if _family is None:
        return 0
    failed, _family.failed = _family.failed, 0
    return failed


def watch(parser: Any) -> None:
    """Make a Family when the parser of Locust's command line finds that it will fork workers."""
    parse = parser.parse_args

    def parse_args(*args: Any, **kw: Any) -> Any:
        global _family
        options = parse(*args, **kw)
        if options.processes and not options.worker and _family is None:
            if not zmq.has("curve"):
                parser.error("--processes needs a ZeroMQ library with CURVE: reinstall pyzmq")
            _family = Family()
        return options

    parser.parse_args = parse_args


def install(allow: Callable[[str], None]) -> None:
    """
    Take the place of Locust's sockets between master and workers.

    Args:
        allow: is called with the host that one of them is to connect to, or to listen on.
    """

    class WorkerServer(zmqrpc.Server):
        def __init__(self, host: str, port: int) -> None:
            if _family is None:
                allow(host)
                super().__init__(host, port)
            else:
                zmqrpc.BaseSocket.__init__(self, zmq.ROUTER, ipv4_only=True)
                _family.serve(self.socket)
                self.port = port

        def recv_from_client(self) -> tuple[str, Message]:
            try:
                name, message = super().recv_from_client()
            except (RPCError, RPCReceiveError):
                raise
            except Exception as error:  # what msgpack makes of bytes has no end
                raise RPCReceiveError(f"not a message: {error!r:.200}") from error
            if problem := _problem(name, message):
                raise RPCReceiveError(problem)
            return name, message

    class Client(zmqrpc.Client):
        def __init__(self, host: str, port: int, identity: str) -> None:
            if _family is None:
                allow(host)
                super().__init__(host, port, identity)
            else:
                zmqrpc.BaseSocket.__init__(self, zmq.DEALER, ipv4_only=True)
                self.socket.setsockopt(zmq.IDENTITY, identity.encode())
                _family.join(self.socket)

    handle = MasterRunner.handle_message

    def handle_message(self: MasterRunner, client_id: str, msg: Message) -> None:
        try:
            handle(self, client_id, msg)
        except Exception:  # Locust would end the run, as if by Ctrl-C
            log.exception("a message %.50r of %s was dropped", msg.type, client_id)

    # At each change of level a worker calls it once for every option, 5 ms of CPU each time: on a
    # busy machine it is silent for so long that the master gives it up.
    argument_parser.default_args_dict = functools.cache(argument_parser.default_args_dict)
    zmqrpc.Server, zmqrpc.Client = WorkerServer, Client  # type: ignore[misc]
    MasterRunner.handle_message = handle_message  # type: ignore[method-assign]


def _problem(name: str, message: Message) -> str | None:
    """Return why a message cannot be one of a worker of Locust's; None: it can."""
    if len(name) > LONGEST or not name.isprintable():
        return f"{name!r:.100} is not the name of a worker"
    if message.node_id != name:
        return f"{name} sent a message in the name of {message.node_id!r:.100}"
    if not isinstance(message.type, str):
        return f"{name} sent a message of no type"
    return None
