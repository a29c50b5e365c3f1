"""Breaks valid inputs: what the fuzzer gives to the readers of others' texts."""

import random
import re
from collections.abc import Sequence

LONGEST = 1 << 16  # bytes of an input

_NUMBERS = """0 -1 1 0.1 -0.0 1e999 -1e999 1e-999 nan NaN inf -inf Infinity 1_0 0x1 1e308 1e15
9007199254740993 18446744073709551616 1000000 0.000001 ٣ ²"""
NUMBERS = (*_NUMBERS.split(), "9" * 400, "9" * 5000, "1" * 30_000)
_WORDS = """{ } [ ] ( ) " ' \\ , ; : = == < > # % & ? / // . .. * + - | ~ ! @ $ ` _ ../ http://[
true false null None none at max p50 p0 p100 ms s us m /s kB file http://a:99999 "" \"\"\" \'\'\'
{} [] [[ ]] {{ }} ${x} {0} %s %n \\u0000"""
_CHARACTERS = "\0\n\r\t \x1b\x7f\u202eßµ\ud800\U0001f600\ufeff\u2028"
ODDITIES = (*NUMBERS, *_WORDS.split(), *_CHARACTERS, "\r\n", "\x1b[2J")
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")


class Mutator:
    """Breaks valid inputs, a few changes at a time."""

    def __init__(
        self,
        rng: random.Random,
        corpus: Sequence[bytes],
        extra: Sequence[bytes] = (),
        words: Sequence[str] = (),
    ) -> None:
        """
        Args:
            corpus: valid inputs.
            extra: others.
            words: inserted besides oddities.
        """
        self._rng = rng
        self._corpus, self._extra = corpus, extra
        encoded = [word.encode("utf-8", "surrogatepass") for word in ODDITIES]
        self._odd = encoded + [bytes([value]) for value in (0, 0x80, 0xC1, 0xFE, 0xFF)]
        self._words = [word.encode() for word in words] or self._odd
        self._numbers = [number.encode() for number in NUMBERS]
        self._ways = (
            self._flip,
            self._drop,
            self._double,
            self._insert,
            self._insert,
            self._number,
            self._number,
            self._splice,
            self._swap,
            self._cut,
            self._repeat,
            self._replace,
            self._replace,
            self._replace,
            self._number,
            self._drop,
            self._flip,
        )

    def mutated(self) -> bytes:
        """One of the inputs, broken."""
        valid = self._rng.random() < 0.8
        data = self._rng.choice(self._corpus if valid or not self._extra else self._extra)
        for _ in range(min(int(self._rng.expovariate(1.2)) + 1, 8)):
            data = self._rng.choice(self._ways)(data)
        return data[:LONGEST]

    def _at(self, data: bytes) -> int:
        return self._rng.randrange(len(data) + 1)

    def _stretch(self, data: bytes, longest: int = 60) -> tuple[int, int]:
        start = self._at(data)
        return start, min(start + self._rng.randint(1, longest), len(data))

    def _word(self) -> bytes:
        return self._rng.choice(self._words if self._rng.random() < 0.5 else self._odd)

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._rng.randrange(8)]) + data[at + 1 :]

    def _drop(self, data: bytes) -> bytes:
        start, stop = self._stretch(data)
        return data[:start] + data[stop:]

    def _double(self, data: bytes) -> bytes:
        start, stop = self._stretch(data, 200)
        return data[:stop] + data[start:]

    def _insert(self, data: bytes) -> bytes:
        at = self._at(data)
        return data[:at] + self._word() + data[at:]

    def _number(self, data: bytes) -> bytes:
        """Another number, in the place of one that is there."""
        found = [match.span() for match in _NUMBER.finditer(data)]
        if not found:
            return self._insert(data)
        start, stop = self._rng.choice(found)
        return data[:start] + self._rng.choice(self._numbers) + data[stop:]

    def _splice(self, data: bytes) -> bytes:
        other = self._rng.choice(self._corpus)
        return data[: self._at(data)] + other[self._at(other) :]

    def _swap(self, data: bytes) -> bytes:
        start, stop = self._stretch(data)
        at = self._at(data)
        rest = data[:start] + data[stop:]
        return rest[:at] + data[start:stop] + rest[at:]

    def _cut(self, data: bytes) -> bytes:
        at = self._at(data)
        return data[:at] if self._rng.random() < 0.7 else data[at:]

    def _repeat(self, data: bytes) -> bytes:
        """A piece of it, or a word, many times: what is nested, long or ambiguous."""
        start, stop = self._stretch(data, 8)
        piece = data[start:stop] if self._rng.random() < 0.5 else self._word()
        times = min(int(10 ** self._rng.uniform(0.3, 4.5)), LONGEST // max(len(piece), 1))
        return data[:start] + piece * times + data[stop:]

    def _replace(self, data: bytes) -> bytes:
        """Another word, in the place of one that is there."""
        start = stop = self._at(data)
        while start and chr(data[start - 1]).isalnum():
            start -= 1
        while stop < len(data) and chr(data[stop]).isalnum():
            stop += 1
        return data[:start] + self._word() + data[stop:]
