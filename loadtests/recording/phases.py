"""Where the time of traced responses went, as an instrumented service tells: sums by latency.

Kept by latency, since the slow requests spend their time elsewhere than the mean one: where the p95
requests spend theirs can be asked when the run is over. The bins are coarse (a tenth wide), and
additive as everything in a slice.
"""

import base64
import math
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.recording.packed import unpacked

TOLD = ("pre_app", "thread_wait", "pool_wait", "connect", "upstream", "loop_wait", "own")
NAMES = (*TOLD, "body")
"""
The phases of a response, in the order in which they are drawn; they add up to its time.

Those that the service tells: before the app was called; waiting for a thread; for a connection of
the pool; connecting; the upstream at work; ready but not running, for want of the event loop, the
interpreter lock or a core; the service's own CPU. Then, as its client sees it, from the head of the
response to its last byte.
"""
PER_DOUBLING = 8  # bins
_NEW = "2:"  # begins what is written; what begins without it was written before there was a body
_LAST = 40 * PER_DOUBLING  # the bin of two weeks
_LONGEST = 8 * (3 + len(NAMES)) * (_LAST + 1)  # bytes of all bins
_MICRO = 1e6
_LEAST = 1e-6  # seconds; anything faster is in the first bin


@dataclass(frozen=True, slots=True)
class Bin:
    """Responses of nearly the same service time. All sums in seconds, `phases` as NAMES."""

    low: float
    high: float
    count: int
    total: float
    phases: tuple[float, ...]


class PhaseSums:
    """Sums of phases for responses of a like latency. Adding two loses nothing."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        # By bin: the count, then microseconds: the total, phases as NAMES.
        self._sums: dict[int, list[float]] = {}

    def record(self, seconds: float, phases: Sequence[float]) -> None:
        """Count one response, `seconds` long; `phases` in seconds, as many as NAMES."""
        place = int(math.log2(max(seconds, _LEAST) / _LEAST) * PER_DOUBLING)
        sums = self._sums.get(place)
        if sums is None:
            sums = self._sums[place] = [0.0] * (2 + len(NAMES))
        sums[0] += 1
        sums[1] += seconds * _MICRO
        for index, part in enumerate(phases, 2):
            if part:  # mostly half of them are zero, and this is done for each response
                sums[index] += part * _MICRO

    def add(self, other: "PhaseSums") -> None:
        for place, sums in other._sums.items():
            mine = self._sums.get(place)
            if mine is None:
                self._sums[place] = list(sums)
            else:
                for index, value in enumerate(sums):
                    mine[index] += value

    def bins(self) -> Iterator[Bin]:
        """The bins in use, by rising latency."""
        for place, (count, *sums) in sorted(self._sums.items()):
            low, high = (_LEAST * 2 ** (edge / PER_DOUBLING) for edge in (place, place + 1))
            total, *phases = (value / _MICRO for value in sums)
            yield Bin(low, high, int(count), total, tuple(phases))

    def encode(self) -> str:
        """
        Base64 text of some hundred bytes: of all bins the places, the counts, then microseconds.

        The bytes of a like weight stand together: most of them are zero, which packs them to two
        thirds of what they would take in turn.
        """
        rows = ((place, *sums) for place, sums in self._sums.items())
        numbers = [round(one) for column in zip(*rows, strict=True) for one in column]
        data = struct.pack(f"<{len(numbers)}Q", *numbers)
        packed = zlib.compress(b"".join(data[weight::8] for weight in range(8)))
        return _NEW + base64.b64encode(packed).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> "PhaseSums":
        """
        What `encode` wrote.

        Raises:
            ValueError: it is something else.
        """
        made = cls()
        try:
            written = NAMES if text.startswith(_NEW) else TOLD
            packed = unpacked(base64.b64decode(text.removeprefix(_NEW), validate=True), _LONGEST)
            count, rest = divmod(len(packed), 8 * (3 + len(written)))
            if rest:
                raise ValueError("its end is missing")
            size = len(packed) // 8
            data = bytearray(len(packed))
            for weight in range(8):
                data[weight::8] = packed[weight * size : (weight + 1) * size]
            numbers = struct.unpack(f"<{size}Q", data)
            columns = [numbers[at : at + count] for at in range(0, size, count or 1)]
            for place, *sums in zip(*columns, strict=True):
                if place > _LAST:
                    raise ValueError(f"there is no bin {place}")
                made._sums[place] = [*sums, *[0] * (len(NAMES) - len(written))]
        except ValueError as error:
            raise ValueError(f"not sums of phases: {text[:40]!r} ({error})") from error
        return made

    def __bool__(self) -> bool:
        return bool(self._sums)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhaseSums) and self.encode() == other.encode()

    __hash__ = None  # type: ignore[assignment]  # it changes with each recording


def merged(parts: Iterable[PhaseSums]) -> PhaseSums:
    """The sum of many; a fifth of the time that adding one to another takes."""
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for part in parts:
        for place, sums in part._sums.items():
            rows[place].append(sums)
    made = PhaseSums()
    made._sums = {
        place: [sum(column) for column in zip(*alike, strict=True)] for place, alike in rows.items()
    }
    return made
