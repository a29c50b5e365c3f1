"""`brownout`, and `python -m brownout`."""

import sys
from pathlib import Path

from brownout.own import ROOT


def main() -> None:
    """Run the command line."""
    # `python -m` puts the current folder first: a `loadtests` in it would take the place of ours.
    if not sys.flags.safe_path and sys.path and Path(sys.path[0]).resolve() == Path.cwd() != ROOT:
        del sys.path[0]
    from loadtests.__main__ import main as command

    command()


if __name__ == "__main__":
    main()
