"""Clock frequencies of cores, and which cores are one: Linux, Documentation/admin-guide/pm/cpufreq.

On most virtual machines the system does not tell a frequency.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def highest(cores: Iterable[int], cpus: Path = CPUS) -> dict[int, float]:
    """Return the highest frequency of each core, in hertz, as far as it is told."""
    return _hertz(cores, "cpuinfo_max_freq", cpus)


def governors(cores: Iterable[int], cpus: Path = CPUS) -> dict[int, str]:
    """Return what chooses the frequency of each core, e.g. "performance", as far as it is told."""
    found = {}
    for core in cores:
        with suppress(OSError):
            found[core] = _read(core, "cpufreq/scaling_governor", cpus)
    return found


def siblings(cores: Iterable[int], cpus: Path = CPUS) -> list[list[int]]:
    """Return the groups of cores that are threads of one physical core, in order (SMT)."""
    groups = set()
    for core in cores:
        with suppress(OSError, ValueError):
            threads = _numbers(_read(core, "topology/thread_siblings_list", cpus))
            groups.add(tuple(threads))
    return [list(group) for group in sorted(groups) if len(group) > 1]


def _hertz(cores: Iterable[int], name: str, cpus: Path) -> dict[int, float]:
    found = {}
    for core in cores:
        with suppress(OSError, ValueError):
            found[core] = int(_read(core, f"cpufreq/{name}", cpus)) * 1000.0
    return found


def _read(core: int, name: str, cpus: Path) -> str:
    return (cpus / f"cpu{core}" / name).read_text(encoding="ascii").strip()


def _numbers(text: str) -> list[int]:
    """The numbers of a list like "0,4" or "0-1,4"."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
