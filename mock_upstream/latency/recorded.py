"""Delays that were recorded: read from a file, drawn from again, or fitted by a few quantiles."""

import csv
import dataclasses
import json
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from math import isfinite, log
from pathlib import Path

from mock_upstream.latency.distributions import Latency, Percentiles
from mock_upstream.units.documents import from_json
from mock_upstream.units.durations import LONGEST, UNITS, format_duration, parse_duration

MOST_BYTES = 32_000_000
MOST_VALUES = 1_000_000

_PER_SECOND = {"us": 1e6, "ms": 1e3, "s": 1.0, "m": 1 / 60}
_RANKS = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
_BEYOND = 5  # values that a quantile needs outside of it, to be more than one request's fate
_MORE_RANKS = 12
_CLOSE = 0.05  # relative; a quantile that the others miss by more is worth a place of its own
_SHORTEST = 1e-6  # seconds; quantiles lie on a logarithmic scale, which has no 0


class RecordedError(ValueError):
    """A file of delays that cannot be used; the message has its name and the line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded(Latency):
    """
    The values of a file, and everything between two neighbours, equally likely.

    The quantile at u is that of Hyndman and Fan's type 7 (The American Statistician 50, 1996),
    which numpy's and R's `quantile` compute: from the smallest value to the largest.
    """

    path: Path  # absolute
    values: "array[float]" = dataclasses.field(
        repr=False, hash=False
    )  # seconds, rising, two at least
    field: str | None = None
    unit: str | None = None

    def quantile(self, u: float) -> float:
        return _quantile(self.values, u)

    def cdf(self, x: float) -> float:
        values = self.values
        right = bisect_right(values, x)
        if right in (0, len(values)):
            return float(right > 0)
        low, high = values[right - 1], values[right]
        return (right - 1 + (x - low) / (high - low)) / (len(values) - 1)

    def jumps(self) -> tuple[float, ...]:
        """Only the ends: a recording may hold each of its values many times."""
        return (self.values[0], self.values[-1])

    def __str__(self) -> str:
        words = [_quoted(str(self.path))]
        if self.field is not None:
            words.append(f"field={_quoted(self.field)}")
        if self.unit is not None:
            words.append(f"unit={self.unit}")
        return f"file({', '.join(words)})"


def load(path: Path, field: str | None = None, unit: str | None = None) -> Recorded:
    """
    The distribution of a file's values; the arguments are those of `read`.

    Raises:
        RecordedError: as `read` does.
    """
    return Recorded(path.absolute(), array("d", sorted(read(path, field, unit))), field, unit)


def read(path: Path, field: str | None = None, unit: str | None = None) -> "array[float]":
    """
    The delays in a .csv or .jsonl file, in its order.

    A value is a number of `unit`, or text with a unit of its own such as "12.5ms".

    Args:
        path: a CSV file with or without a header, or one JSON value a line.
        field: a column's name, or its number from 1; a key of the JSON objects. Not needed
            where there is only one column, or only numbers.
        unit: us, ms, s or m, of values without one.

    Returns:
        Seconds, two at least.

    Raises:
        RecordedError: the file cannot be read, is too large, or has a value that is not a delay.
    """
    rows = {".csv": _csv, ".jsonl": _jsonl}.get(path.suffix.lower())
    if rows is None:
        raise RecordedError(f"{path.name}: the name must end in .csv or .jsonl")
    values = array("d")
    for line, value in rows(path.name, _text(path), field):
        if len(values) == MOST_VALUES:
            raise RecordedError(f"{path.name}, line {line}: more than {MOST_VALUES:,} values")
        try:
            values.append(_seconds(value, unit))
        except ValueError as error:
            raise RecordedError(f"{path.name}, line {line}: {error}") from None
    if len(values) < 2:
        raise RecordedError(f"{path.name}: {len(values)} values; a spread needs two at least")
    return values


def fit(values: Iterable[float]) -> str:
    """
    A latency's text with the quantiles of recorded delays.

    The usual quantiles that the sample can support, and some more where the line between those
    would miss the recording by 5 %; three digits of each.

    Args:
        values: seconds, any order, 20 at least.

    Raises:
        ValueError: too few values, or one that is not a delay.
    """
    ordered = sorted(values)
    if len(ordered) < 4 * _BEYOND:
        raise ValueError(f"{len(ordered)} values are too few to fit; {4 * _BEYOND} are needed")
    if not all(0 <= value <= LONGEST for value in ordered):
        raise ValueError("a value is not a delay; they lie between 0 seconds and an hour")
    if _rounded(ordered[0]) == _rounded(ordered[-1]):
        return format_duration(_rounded(ordered[0]))
    ordered = [max(value, _SHORTEST) for value in ordered]

    def supported(rank: float) -> bool:
        return min(rank, 100 - rank) / 100 * len(ordered) >= _BEYOND

    def through(ranks: Iterable[float]) -> Percentiles:
        points = ((rank, _rounded(_quantile(ordered, rank / 100))) for rank in sorted(ranks))
        return Percentiles(tuple(points), most=_rounded(ordered[-1]))

    def miss(rank: float) -> float:
        truth = _rounded(_quantile(ordered, rank / 100))
        return abs(log(fitted.quantile(rank / 100) / truth))

    fitted = through(rank for rank in _RANKS if supported(rank))
    others = [float(rank) for rank in range(1, 100) if supported(rank)]
    for _ in range(_MORE_RANKS):
        worst = max(others, key=miss)
        if miss(worst) < _CLOSE:
            break
        fitted = through({worst, *(rank for rank, _ in fitted.points)})
    return str(fitted)


def _quantile(ordered: Sequence[float], u: float) -> float:
    place = u * (len(ordered) - 1)
    left = min(int(place), len(ordered) - 2)
    low, high = ordered[left], ordered[left + 1]
    return min(low + (high - low) * (place - left), high)


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")


def _quoted(text: str) -> str:
    plain = text == text.strip() and text.isprintable() and not set(text) & set(',()"')
    return text if plain and text else json.dumps(text)


def _text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise RecordedError(f"{path.name}: not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordedError(f"{path}: {reason}") from None
    if len(data) > MOST_BYTES:
        raise RecordedError(f"{path.name}: larger than {MOST_BYTES // 1_000_000} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordedError(f"{path.name}, line {line}: not UTF-8 text") from None


def _csv(name: str, text: str, field: str | None) -> Iterator[tuple[int, object]]:
    rows = csv.reader(StringIO(text, newline=""), strict=True)
    column: int | None = None
    try:
        for row in rows:
            if not row:
                continue
            if column is None:
                column, header = _column(name, rows.line_num, row, field)
                if header:
                    continue
            if column >= len(row):
                raise RecordedError(f"{name}, line {rows.line_num}: no column {column + 1}")
            yield rows.line_num, row[column]
    except csv.Error as error:
        raise RecordedError(f"{name}, line {rows.line_num}: not CSV: {error}") from None


def _column(name: str, line: int, row: list[str], field: str | None) -> tuple[int, bool]:
    """Which column, and whether this first row is the header."""
    names = [cell.strip() for cell in row]
    if field is None:
        if len(row) > 1:
            columns = ", ".join(names)
            raise RecordedError(
                f"{name}, line {line}: several columns ({columns:.200}); say which, as field=1"
            )
        column = 0
    elif field in names:
        return names.index(field), True
    elif field.isascii() and field.isdigit() and 0 < int(field) <= len(row):
        column = int(field) - 1
    else:
        columns = ", ".join(names)
        raise RecordedError(f"{name}, line {line}: no column {field!r} in {columns:.200}")
    return column, _is_name(names[column])


def _is_name(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return bool(cell) and not cell[0].isdigit() and cell[0] not in "+-."
    return False  # nan is a bad number, no name


def _jsonl(name: str, text: str, field: str | None) -> Iterator[tuple[int, object]]:
    for line, content in enumerate(StringIO(text), 1):
        if not content.strip():
            continue
        try:
            value = from_json(content)
        except ValueError as error:
            raise RecordedError(f"{name}, line {line}: not JSON: {error}") from None
        if isinstance(value, dict):
            if field is None:
                keys = ", ".join(value)
                raise RecordedError(
                    f"{name}, line {line}: an object ({keys:.200}); say which field, as field=NAME"
                )
            if field not in value:
                raise RecordedError(f"{name}, line {line}: no field {field!r}")
            value = value[field]
        elif field is not None:
            raise RecordedError(f"{name}, line {line}: not an object, so no field {field!r}")
        yield line, value


def _seconds(value: object, unit: str | None) -> float:
    if isinstance(value, str):
        try:
            number = float(value) if "_" not in value else None
        except ValueError:
            number = None
        if number is None:
            return parse_duration(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise ValueError("longer than an hour, the longest delay there is") from None
    else:
        raise ValueError(f"{json.dumps(value):.40} is not a number")
    if not isfinite(number):
        raise ValueError(f"{value!r} is not a delay")
    if unit is None:
        raise ValueError(f"{value!r} has no unit; say unit=ms, or another of {', '.join(UNITS)}")
    if number < 0:
        raise ValueError(f"{value!r} is negative; a delay is 0 or more")
    seconds = number / _PER_SECOND[unit]
    if seconds > LONGEST:
        raise ValueError(f"{value!r} {unit} is longer than an hour, the longest delay there is")
    return seconds
