"""What one sees while a run goes on: a bar in a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from loadtests.analysis.numbers import load
from loadtests.characters import printable
from loadtests.report.text import numbers, remarks, states
from loadtests.results import Point
from loadtests.schedules import Step

if TYPE_CHECKING:  # it needs statistics, which nothing here does
    from loadtests.run.controller import Observer


@contextmanager
def shown(console: Console) -> Iterator["Observer"]:
    """
    An observer that fits the console, for the length of the block.

    FORCE_COLOR asks for colors, and not for a bar in a file.
    """
    if not console.is_terminal or not console.file.isatty():
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress)


@contextmanager
def problems(console: Console) -> Iterator["Observer"]:
    """An observer that prints problems alone."""
    yield _Problems(console)


class _Problems:
    def __init__(self, console: Console) -> None:
        self._console = console

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None: ...

    def measured(self, point: Point) -> None: ...

    def problem(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True, style="red")


class _Lines:
    """One line when a stage is over; nothing that a log would have to unwrap."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._where = ""

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None:
        self._where = f"[{number}/{of}, {_time(seconds_left)} left]"
        if step.again or (step.probe and step.probe.pair == 0):
            text = f"{self._where} {_words(step)}"
            self._console.print(text, markup=False, soft_wrap=True)

    def measured(self, point: Point) -> None:
        self._console.print(f"{self._where} {described(point)}", markup=False, soft_wrap=True)

    def problem(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True, style="red")


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, left="?")

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None:
        self._progress.update(
            self._task,
            # The bar is drawn behind the console's filter.
            description=printable(_words(step)),
            total=of,
            completed=number - 1,
            left=_time(seconds_left),
        )

    def measured(self, point: Point) -> None:
        self._progress.console.print(described(point), markup=False, highlight=False)
        self._progress.advance(self._task)

    def problem(self, text: str) -> None:
        self._progress.console.print(text, markup=False, style="red")


def described(point: Point) -> str:
    """One finished stage in one line; the end of the run and the report have the details."""
    parts = [
        f"{point.deployment} at {load(point.level, point.model)}: "
        + numbers.rate(point.throughput.value)
    ]
    parts += [
        f"{name} {numbers.duration(quantile.value)}"
        for name in ("p50", "p95")
        if (quantile := point.response_time.get(name)) is not None
    ]
    if point.errors.rate:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in sorted(point.errors.kinds.items()))
        parts.append(f"{point.errors.rate:.1%} failed ({kinds})")
    if not point.valid:
        parts.append(f"INVALID: {remarks.reason(point.problems[0])}")
    elif found := states.remarks(point):
        parts.append(f"note: {remarks.short(found[0])}")
    return ", ".join(parts)


def _words(step: Step) -> str:
    where = f"{step.deployment} at level {step.level:,}"
    if step.again:
        return f"again: {where}, {step.again}"
    return f"experiment: {where}" if step.probe else where


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
