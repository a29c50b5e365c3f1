"""Logs that grew so large that writing them is a part of what was measured."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LARGE = 64 << 20  # bytes


def remarks(logs: Path) -> Iterator[str]:
    """Sentences about the large logs in a run's folder, as far as it can be read."""
    sizes: dict[Path, int] = {}
    with suppress(OSError):
        sizes |= {log: log.stat().st_size for log in logs.glob("*.log")}
    for log, size in sorted(sizes.items()):
        if size >= LARGE:
            name = log.stem.partition("~")[0]
            yield (
                f"{name} printed {size / 1e6:,.0f} MB in this run ({log}). Writing that takes time "
                "from the service: let it log less, and delete the file if the disk is small."
            )
