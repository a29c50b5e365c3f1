"""`python -m mock_upstream serve`: a slow upstream that says what it did."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mock_upstream.profiles import DEFAULT_LATENCY, ProfileError, load

_LOOPBACK = "127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 after a signal, 2 where nothing could be started."""
    given = _parser().parse_args(arguments)
    overrides = {
        key: value
        for key, value in vars(given).items()
        if key in ("latency", "seed", "errors") and value is not None
    }
    try:
        profile = load(given.profile, overrides)
    except ProfileError as error:
        return _refuse(str(error))
    # Only now: uvicorn and FastAPI take most of a second, which a typo need not wait for.
    from mock_upstream.serving import listen, serve

    listeners = []
    for flag, host, port in (
        ("--port", given.host, given.port),
        ("--control-port", _LOOPBACK, given.control_port),
    ):
        try:
            listeners.append(listen(host, port))
        except OSError as error:
            return _refuse(
                f"cannot listen on {host} port {port}: {error.strerror}\n"
                f"Pass {flag} 0 to let the system choose a free port."
            )
    with suppress(KeyboardInterrupt):  # Ctrl-C before it listens to signals itself
        serve(profile, *listeners)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mock_upstream", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serving = commands.add_parser("serve", help="play a profile until Ctrl-C")
    add = serving.add_argument
    add("profile", nargs="?", type=Path, metavar="PROFILE", help="a .toml or .json file")
    add("--latency", help=f"such as 50ms or uniform(20ms,80ms) (default: {DEFAULT_LATENCY})")
    add("--seed", type=int, help="another seed, other draws (default: 0)")
    add(
        "--errors", type=_errors, metavar="503=0.01,500=0.005", help="error statuses, probabilities"
    )
    add("--host", default=_LOOPBACK, help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="0, the default: any free one")
    add(
        "--control-port", type=_port, default=0, help="for the ledger; 0, the default: any free one"
    )
    return parser


def _errors(text: str) -> dict[str, Any]:
    pairs = [part.split("=", 1) for part in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not written as 503=0.01,500=0.005")
    return {status.strip(): probability.strip() for status, probability in pairs}


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; they are 0 to 65535")
    return port


def _refuse(message: str) -> int:
    print(f"mock_upstream: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
