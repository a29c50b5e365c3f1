"""What cores and sockets of this machine did."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Core:
    """
    What one core did: seconds so far, or shares of the time between two looks.

    `niced`: the part of `worked` that was for processes of a lower priority (nice above 0).
    """

    busy: float
    worked: float
    niced: float
    stolen: float
    total: float

    def since(self, then: "Core") -> "Core":
        elapsed = self.total - then.total
        if elapsed <= 0:
            return Core(0.0, 0.0, 0.0, 0.0, 0.0)

        def share(now: float, before: float) -> float:
            return round(min(max((now - before) / elapsed, 0.0), 1.0), 3)

        return Core(
            share(self.busy, then.busy),
            share(self.worked, then.worked),
            share(self.niced, then.niced),
            share(self.stolen, then.stolen),
            1.0,
        )


def cores() -> list[Core]:
    found = []
    for times in psutil.cpu_times(percpu=True):
        # A guest's time is in the user's already. Interrupts are nobody's: what the network costs
        # is no other process.
        worked = times.user + times.system + times.nice
        stolen = getattr(times, "steal", 0.0)
        busy = worked + stolen + getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        total = busy + times.idle + getattr(times, "iowait", 0.0)
        found.append(Core(busy, worked, times.nice, stolen, total))
    return found


def sockets() -> dict[str, int] | None:
    """
    TCP sockets of this host (both IP versions) by state; None where that is not told.

    The kernel's own counts, in 60 microseconds. The list of all sockets would tell every state, in
    5 ms however short it is, since the whole hash table is walked: at the cost of the mock.
    """
    try:
        told = _pairs(Path("/proc/net/sockstat").read_text(encoding="utf-8"), "TCP:")
        names, values = (
            line.split()
            for line in Path("/proc/net/snmp").read_text(encoding="utf-8").splitlines()
            if line.startswith("Tcp:")
        )
        return {
            "established": int(values[names.index("CurrEstab")]),  # and those in CLOSE_WAIT
            "time_wait": told["tw"],
            "orphaned": told["orphan"],
        }
    except (OSError, ValueError, IndexError, KeyError):
        return None


def _pairs(text: str, begin: str) -> dict[str, int]:
    """The numbers of a line `begin name value name value ...`."""
    words = next((one for one in text.splitlines() if one.startswith(begin)), "").split()[1:]
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}


def ports(held: int) -> dict[str, int] | None:
    """
    How many of the ports for outgoing connections are held by closed ones; None where the system
    does not tell how many there are.
    """
    try:
        low, high = (
            Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").split()
        )
        return {"time_wait": held, "of": int(high) - int(low) + 1}
    except (OSError, ValueError):
        return None
