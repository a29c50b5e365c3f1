"""`python -m mock_upstream`: a slow upstream that says what it did."""

import argparse
import errno
import gc
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from mock_upstream import certificates, standard_streams
from mock_upstream.control import guard
from mock_upstream.profiles.profile import DEFAULT_LATENCY, Profile, ProfileError, load
from mock_upstream.version import installed_version

_LOOPBACK = "127.0.0.1"
_TOKEN = "MOCK_UPSTREAM_CONTROL_TOKEN"
_OWNER = "MOCK_UPSTREAM_OWNER"


def main(arguments: Sequence[str] | None = None, profile: Mapping[str, Any] | None = None) -> int:
    """
    Run a command. Returns its exit code: 0, of serve after a signal; 2: nothing could be started;
    3: not verified.

    Args:
        profile: values of the profile, in place of those of a file.
    """
    given = _parser().parse_args(arguments)
    given.values = profile or {}
    command = {"serve": _serve, "verify": _verify, "fit": _fit}[given.command]
    try:
        return command(given)
    except ProfileError as error:
        return _refuse(str(error))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        return _refuse("out of file descriptors; raise the limit of open files (`ulimit -n`)")


def _serve(given: argparse.Namespace) -> int:
    profile = _profile(given)
    sockets: list[socket.socket | None] = []
    for option, descriptor in (("--fd", given.fd), ("--control-fd", given.control_fd)):
        try:
            sockets.append(None if descriptor is None else _inherited(descriptor))
        except (OSError, ValueError) as error:
            return _refuse(
                f"{option} {descriptor} is not a listening TCP socket: {error}\n"
                f"The parent process has to open it and pass it on; without {option} the mock "
                "opens a socket itself."
            )
    if sockets[1] is not None:
        given.control_host = sockets[1].getsockname()[0]
    try:
        guard.check(given.control_host, given.control_token)
    except ValueError as error:
        return _refuse(f"{error}\nPass --control-token, or set {_TOKEN}.")
    # Only now: uvicorn and FastAPI take most of a second, which a typo need not wait for. What is
    # imported stays: no garbage collection looks through it meanwhile.
    gc.disable()
    from mock_upstream.server import listen, serve

    gc.enable()

    listeners = []
    for inherited, flag, host, port in (
        (sockets[0], "--port", given.host, given.port),
        (sockets[1], "--control-port", given.control_host, given.control_port),
    ):
        try:
            listeners.append(inherited or listen(host, port))
        except OSError as error:
            return _refuse(
                f"cannot listen on {host} port {port}: {error.strerror}\n"
                f"Pass {flag} 0 to let the system choose a free port."
            )
    # Ctrl-C before it listens to signals itself
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        data, control = listeners
        certificate, authority = given.certificate, None
        if profile.tls and certificate is None:
            try:
                issued = stack.enter_context(certificates.issued(data.getsockname()[0], given.host))
            except certificates.NoTrustme as error:
                return _refuse(str(error))
            certificate, authority = issued.server, issued.authority
        serve(
            profile,
            data,
            control,
            token=given.control_token,
            owner=os.environ.get(_OWNER) or None,
            certificate=certificate,
            authority=authority,
        )
    return 0


def _inherited(descriptor: int) -> socket.socket:
    """The listening TCP socket with this descriptor. Raises OSError: it is something else."""
    inherited = socket.socket(fileno=descriptor)
    if (
        inherited.family not in (socket.AF_INET, socket.AF_INET6)
        or inherited.type != socket.SOCK_STREAM
        or not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        inherited.detach()  # it is not ours to close
        raise OSError("it is another kind of file")
    return inherited


def _verify(given: argparse.Namespace) -> int:
    profile = _profile(given)
    from mock_upstream.verification import verify

    with suppress(KeyboardInterrupt):
        return verify.main(profile, given.rate, given.seconds)
    return standard_streams.INTERRUPTED


def _fit(given: argparse.Namespace) -> int:
    from mock_upstream.latency import recorded

    try:
        print(recorded.fit(recorded.read(given.file, given.field, given.unit)))
    except ValueError as error:
        return _refuse(str(error))
    return 0


def _profile(given: argparse.Namespace) -> Profile:
    overrides = {
        key: value
        for key, value in vars(given).items()
        if key in ("latency", "seed", "errors", "tls") and value is not None
    }
    profile = load(given.profile, {**given.values, **overrides})
    if getattr(given, "certificate", None) and not profile.tls:
        raise ProfileError("--certificate is for TLS; add --tls")
    return profile


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mock_upstream", description=__doc__)
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    serving = commands.add_parser("serve", help="play a profile until Ctrl-C")
    add = serving.add_argument
    _add_profile(serving)
    add(
        "--tls",
        action="store_const",
        const=True,
        help="HTTPS, with a certificate of the mock's own authority, whose path is printed as `ca`",
    )
    add(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="a PEM file with key and certificate, in place of one of the mock's own authority",
    )
    add("--host", default=_LOOPBACK, help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="0, the default: any free one")
    add(
        "--fd",
        type=int,
        metavar="N",
        help="use the listening socket with this descriptor, inherited from the parent process, "
        "instead of --host and --port",
    )
    add(
        "--control-host",
        default=_LOOPBACK,
        help="address of the control API (default: %(default)s); any other needs a token",
    )
    add(
        "--control-port", type=_port, default=0, help="for the ledger; 0, the default: any free one"
    )
    add("--control-fd", type=int, metavar="N", help="as --fd, for the control API")
    add(
        "--control-token",
        default=os.environ.get(_TOKEN),
        help=f"what requests to the control API must bear; better set {_TOKEN}, "
        "which other users of the machine cannot see",
    )

    verifying = commands.add_parser(
        "verify", help="whether this machine delivers a profile at a rate; exit code 0 or 3"
    )
    _add_profile(verifying)
    add = verifying.add_argument
    add("--rate", type=_above_zero, default=500, help="requests per second (default: %(default)s)")
    add("--seconds", type=_above_zero, default=10, help="how long (default: %(default)s)")

    fitting = commands.add_parser("fit", help="a latency for --latency from recorded delays")
    add = fitting.add_argument
    add("file", type=Path, metavar="FILE", help=".csv or .jsonl")
    add("--field", help="the column's name or number, or the key of the JSON objects")
    add("--unit", choices=("us", "ms", "s", "m"), help="of numbers that have none")
    return parser


class _PrintVersion(argparse.Action):
    """Looks the version up when it is asked for: it takes files that a mock can start without."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"brownout {installed_version()}")
        parser.exit()


def _add_profile(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("profile", nargs="?", type=Path, metavar="PROFILE", help="a .toml or .json file")
    add("--latency", help=f"such as 50ms or uniform(20ms,80ms) (default: {DEFAULT_LATENCY})")
    add("--seed", type=int, help="another seed, other draws (default: 0)")
    add(
        "--errors", type=_errors, metavar="503=0.01,500=0.005", help="error statuses, probabilities"
    )


def _errors(text: str) -> dict[str, Any]:
    pairs = [part.split("=", 1) for part in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not written as 503=0.01,500=0.005")
    return {status.strip(): probability.strip() for status, probability in pairs}


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; they are 0 to 65535")
    return port


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and below a million")
    return number


def _refuse(message: str) -> int:
    print(f"mock_upstream: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(standard_streams.run("mock_upstream", main))
