"""
The CPU quota of a control group: what a container may use, whatever the number of cores.

Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat) and scheduler/sched-bwc.rst for
the first version (cpu.cfs_quota_us, cpu.cfs_period_us, cpu.stat).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Quota:
    """
    Of this process's control groups, the strictest. Counts go on from look to look.

    Args:
        cores: what the group may use, in cores.
        periods: that have passed in which the group wanted to run, mostly of a tenth of a second.
        throttled: those of them in which it had used its share and was stopped.
    """

    cores: float
    periods: int
    throttled: int


def quota(root: Path = ROOT) -> Quota | None:
    """
    Return the quota that holds for this process; None where there is none, or none is known.

    Args:
        root: of the files to read.
    """
    found = []
    for group in _groups(root):
        with suppress(OSError, ValueError, KeyError):
            if (cores := _cores(group)) is not None:
                lines = map(
                    str.split, (group / "cpu.stat").read_text(encoding="utf-8").splitlines()
                )
                counts = {name: int(value) for name, value in lines}
                found.append(Quota(cores, counts["nr_periods"], counts["nr_throttled"]))
    return min(found, key=lambda one: one.cores, default=None)


@cache
def _groups(root: Path) -> tuple[Path, ...]:
    """The folders of the control groups of this process that have a CPU controller, upwards."""
    try:
        return tuple(_found(root))
    except (OSError, ValueError):
        return ()


def _found(root: Path) -> Iterator[Path]:
    paths: dict[str, str] = {}
    for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            paths["cgroup2"] = path
        elif "cpu" in controllers.split(","):
            paths["cgroup"] = path
    for line in (root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, behind = line.partition(" - ")
        _, _, _, top, mount, *_ = before.split()
        kind, _, options = behind.split(" ", 2)
        if kind not in paths or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        base = root / mount.lstrip("/")
        # In a container the mount begins at its own group, of which it may not know the path.
        folder = base / paths[kind].removeprefix(top.rstrip("/")).lstrip("/")
        yield from (one for one in (folder, *folder.parents) if one.is_relative_to(base))


def _cores(group: Path) -> float | None:
    """Raises OSError where the group has no such file, ValueError where it has something else."""
    if (file := group / "cpu.max").exists():
        most, period = file.read_text(encoding="utf-8").split()
        return None if most == "max" else int(most) / int(period)
    share = int((group / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
    return (
        None
        if share < 0
        else share / int((group / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    )
