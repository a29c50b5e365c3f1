"""Logs that grew so large that writing them is a part of what was measured."""

from collections.abc import Iterator
from pathlib import Path

LARGE = 64 << 20  # bytes


def remarks(logs: Path) -> Iterator[str]:
    """Sentences about the large logs in a run's folder."""
    for log in sorted(logs.glob("*.log")):
        size = log.stat().st_size
        if size >= LARGE:
            name = log.stem.partition("~")[0]
            yield (
                f"{name} printed {size / 1e6:,.0f} MB in this run ({log}). Writing that takes time "
                "from the service: let it log less, and delete the file if the disk is small."
            )
