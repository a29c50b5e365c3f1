"""`brownout`, and `python -m loadtests`: the slim install says what is missing."""

import atexit
import gc
import sys
from importlib.util import find_spec

from loadtests.processes import open_files
from loadtests.processes.interrupts import interruptible
from mock_upstream import standard_streams


def main() -> None:
    # Garbage ends with the process: to look for it once more takes a quarter of a command's CPU.
    atexit.register(gc.freeze)
    sys.exit(standard_streams.run("brownout", _command, _masked))


def _command() -> int:
    missing = [name for name in ("locust", "typer", "vl_convert") if find_spec(name) is None]
    if missing:
        print(
            f"brownout needs its load generator, and {', '.join(missing)} is not installed here.\n"
            "Install it with: pip install 'brownout[load]'",
            file=sys.stderr,
        )
        return 2
    try:
        from loadtests.cli.commands import app  # only now: the slim install lacks what it imports

        with interruptible(until_exit=True):
            app()
    except OSError as error:
        if (known := open_files.exhausted(error)) is None:
            raise
        print(known, file=sys.stderr)
        return known.exit_code
    return 0


def _masked(text: str) -> str:
    """The text with known secrets hidden; unchanged if the redaction module cannot be loaded."""
    redaction = sys.modules.get("loadtests.redaction")
    return str(redaction.masked(text)) if redaction else text


if __name__ == "__main__":
    main()
