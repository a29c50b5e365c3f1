"""requests: its sessions. Its calls are those of urllib3."""

from typing import Any

from . import constructed, replace


def observe(library: Any) -> None:
    replace(getattr(library, "Session", None), "__init__", constructed)
