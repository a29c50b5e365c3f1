"""`python -m app_under_test VARIANT --upstream URL`: serves one variant of the service."""

import argparse
import errno
import os
import signal
import socket
import sys
import traceback
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from pydantic import ValidationError

from app_under_test import variants
from app_under_test.settings import Settings
from app_under_test.tuning import flag

ENDING = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    for number in ENDING:
        signal.signal(number, leave)
    parser = command_line()
    given = vars(parser.parse_args())
    variant, upstream = given.pop("variant"), given.pop("upstream")
    host, port = given.pop("host"), given.pop("port")
    try:
        settings = Settings(**given)
        listener = listen(host, port)
    except ValidationError as error:
        parser.error("\n".join(refusals(error)))
    except OSError as error:
        parser.error(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; pass --port 0 to "
            "let the system choose a free one, and as --host an address of this machine"
        )
    # Not above: a mistake on the command line is answered without waiting for the imports.
    from app_under_test.server import serve

    serve(variant, upstream, settings, listener)


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """
    Ends the process at once.

    uvicorn has its own handlers while it serves, and raises the signal again when it has shut down;
    by then only threads can be left that wait for a slow upstream. They cannot be cancelled, and
    the interpreter would wait for them.
    """
    os._exit(0)


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m app_under_test",
        usage="%(prog)s VARIANT --upstream URL [--port N] [--threads N] ... (all: --help)",
        description="One small service, written several ways, that calls a slow upstream.",
        epilog="A setting may also come from the environment: APP_THREADS=80.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "variant",
        metavar="VARIANT",
        choices=variants.names(),
        help=", ".join(variants.names()),
    )
    parser.add_argument(
        "--upstream", required=True, type=url, metavar="URL", help="may have a path of its own"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=port_number, default=0, help="default: a free one")
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f" Default: {field.default}."
        parser.add_argument(flag(name), metavar="N", help=f"{field.description}{default}")
    return parser


def url(text: str) -> str:
    """An http(s) URL without query or fragment; a final slash is dropped."""
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "?" in text or "#" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the URL of an upstream, such as http://127.0.0.1:9000"
        )
    return text.rstrip("/")


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 (a free one) to 65535")
    return int(text)


def refusals(error: ValidationError) -> list[str]:
    """One line for each setting that was refused: which, its value, why, and its other name."""
    return [
        f"{flag(str(name))} (or APP_{str(name).upper()}) is {problem['input']!r}: {problem['msg']}"
        for problem in error.errors()
        for name in problem["loc"][:1]
    ]


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound already, so that a port in use is known before anything starts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def command() -> None:
    """`main`, with an exit code of its own for a crash."""
    try:
        main()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            words = "out of file descriptors; raise the limit of open files (`ulimit -n`)"
            print(f"app_under_test: {words}", file=sys.stderr)
            os._exit(2)  # as for all that keeps it from a start
        traceback.print_exc()
        os._exit(70)  # EX_SOFTWARE of sysexits.h; no thread is waited for
    finally:
        # Python takes its handlers away at its end, and the default action would be back.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    command()
