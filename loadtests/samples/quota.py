"""
The CPU quota of a control group: what a container may use, whatever the number of cores.

Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max, cpu.stat) and scheduler/sched-bwc.rst for
the first version (cpu.cfs_quota_us, cpu.cfs_period_us, cpu.stat).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Quota:
    """
    The strictest of some control groups. Counts go on from look to look.

    Args:
        cores: what the group may use, in cores.
        periods: that have passed in which the group wanted to run, mostly of a tenth of a second.
        throttled: those of them in which it had used its share and was stopped.
        stopped: seconds for which it was, on all cores together.
        group: its folder.
    """

    cores: float
    periods: int
    throttled: int
    stopped: float = 0.0
    group: Path = field(default=ROOT, compare=False)

    def since(self, then: "Quota | None") -> dict[str, float] | None:
        """Return what it did since an earlier look, for a sample; None: that was another group."""
        if then is None or then.group != self.group:
            return None
        return {
            "cores": round(self.cores, 3),
            "periods": max(self.periods - then.periods, 0),
            "throttled": max(self.throttled - then.throttled, 0),
            "stopped": round(max(self.stopped - then.stopped, 0.0), 4),
        }


def quota(root: Path = ROOT) -> Quota | None:
    """
    Return the quota that holds for this process; None where there is none, or none is known.

    Args:
        root: of the files to read.
    """
    return _strictest(_groups(root, "self"))


def own_quotas(named: Mapping[str, Collection[int]], root: Path = ROOT) -> dict[str, Quota]:
    """
    Return the quotas of processes in control groups that this process is not in, as in containers.

    Args:
        named: name -> process ids; of several groups the strictest counts.
    """
    ours = _groups(root, "self")
    groups = {
        name: [group for pid in pids for group in _groups(root, str(pid)) if group not in ours]
        for name, pids in named.items()
    }
    quotas = {name: _strictest(dict.fromkeys(found)) for name, found in groups.items()}
    return {name: found for name, found in quotas.items() if found}


def _strictest(groups: Iterable[Path]) -> Quota | None:
    found = []
    for group in groups:
        with suppress(OSError, ValueError, KeyError):
            if (cores := _cores(group)) is not None:
                lines = map(
                    str.split, (group / "cpu.stat").read_text(encoding="utf-8").splitlines()
                )
                counts = {name: int(value) for name, value in lines}
                stopped = counts.get("throttled_usec", 0) / 1e6 + (
                    counts.get("throttled_time", 0) / 1e9
                )
                periods, throttled = counts["nr_periods"], counts["nr_throttled"]
                found.append(Quota(cores, periods, throttled, stopped, group))
    return min(found, key=lambda one: one.cores, default=None)


@cache
def _groups(root: Path, pid: str) -> tuple[Path, ...]:
    """
    The folders of the control groups of a process that have a CPU controller, upwards.

    It is asked once: services stay where they are once they are ready.
    """
    try:
        return tuple(_found(root, pid))
    except (OSError, ValueError):
        return ()


def _found(root: Path, pid: str) -> Iterator[Path]:
    paths: dict[str, str] = {}
    for line in (root / "proc" / pid / "cgroup").read_text(encoding="utf-8").splitlines():
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
