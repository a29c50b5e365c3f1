"""`brownout`, and `python -m brownout`."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def main() -> None:
    """Run the command line."""
    # `python -m` puts the current folder first: a `loadtests` or a `json.py` in it would take the
    # place of the real one.
    first = os.path.realpath(sys.path[0]) if sys.path and not sys.flags.safe_path else None
    if first == os.getcwd() != ROOT:
        del sys.path[0]
    from loadtests.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
