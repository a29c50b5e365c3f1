"""Noise of real runs, for simulations: tests/benchmarks/noise/recorded.json.gz.

`tests/benchmarks/noise.py --record` adds to it. Times are seconds since the recording began, with
the time of which the run's first sample tells.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).parents[1] / "benchmarks" / "noise" / "recorded.json.gz"
QUARTER = 0.25  # seconds


@dataclass(frozen=True, slots=True)
class Second:
    """
    What a sample of the run says of the second before `at`; shares by core, the lowest first.

    `others`: used by processes that are not the run's. `stolen`: by the host of this virtual
    machine. `busy`: used by anything. `wait`: seconds a second that generator, mock and service
    were ready to run and had no core; `runs`: how often each was given one.
    """

    at: float
    others: Sequence[float]
    stolen: Sequence[float]
    busy: Sequence[float]
    wait: Mapping[str, float]
    runs: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Recording:
    """
    The noise of one run; `share` is that of the bursts on each core that was asked for.

    `bursts`: (core, begin, end, seconds of CPU that it got), of `cores` by their index. `stops`:
    ("generator", "mock" or "service", begin, end). `roles`: the core of each, by its index.
    """

    share: float
    seed: int
    seconds: float
    roles: Mapping[str, int]
    bursts: Sequence[tuple[int, float, float, float]]
    stops: Sequence[tuple[str, float, float]]
    samples: Sequence[Second]

    def present(self, core: int) -> list[float]:
        """The part of each quarter second in which a burst wanted the core."""
        return self._quarters(
            (one[1], one[2], one[2] - one[1]) for one in self.bursts if one[0] == core
        )

    def taken(self, core: int, *, others: bool = False) -> list[float]:
        """
        The part of each quarter second in which our processes could not have the core.

        The CPU that the bursts got is known by the quarter, what the host took by the second.

        Args:
            others: with what the rest of the machine used, by the second; it is not a part of the
                noise that was made, and differs from recording to recording.
        """
        bursts = self._quarters((one[1], one[2], one[3]) for one in self.bursts if one[0] == core)
        more = [0.0] * len(bursts)
        for sample in self.samples:
            begin, end = (
                min(max(round(at / QUARTER), 0), len(bursts)) for at in (sample.at - 1, sample.at)
            )
            if begin < end:
                known = sum(bursts[begin:end]) / (end - begin)
                rest = max(sample.others[core] - known, 0.0) if others else 0.0
                more[begin:end] = [sample.stolen[core] + rest] * (end - begin)
        return [min(one + rest, 1.0) for one, rest in zip(bursts, more, strict=True)]

    def stopped(self, name: str) -> list[float]:
        """The part of each quarter second in which a process was stopped by a signal."""
        return self._quarters((b, e, e - b) for who, b, e in self.stops if who == name)

    def _quarters(self, spells) -> list[float]:
        """Spread (begin, end, amount) evenly over the quarters that they touch."""
        found = [0.0] * int(self.seconds / QUARTER)
        for begin, end, amount in spells:
            for quarter in range(max(int(begin / QUARTER), 0), len(found)):
                low, high = quarter * QUARTER, (quarter + 1) * QUARTER
                if low >= end:
                    break
                overlap = max(min(end, high) - max(begin, low), 0.0)
                found[quarter] += amount * overlap / ((end - begin) or 1.0) / QUARTER
        return [min(one, 1.0) for one in found]


def recordings(share: float | None = None) -> list[Recording]:
    """The recordings with this share of bursts (0.0: no bursts); None: all recordings."""
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        found = [
            Recording(**{**one, "samples": [Second(**sample) for sample in one["samples"]]})
            for one in json.load(file)
        ]
    return [one for one in found if share is None or one.share == share]


def add(recording: Recording) -> None:
    """Keep one more in the file."""
    kept = [asdict(one) for one in (recordings() if FILE.exists() else [])] + [asdict(recording)]
    with gzip.GzipFile(FILE, "wb", mtime=0) as file:
        file.write(json.dumps(kept, separators=(",", ":")).encode())
