"""What a run's files hold: stages with their slices, samples, and what went wrong.

Lenient by intent: a run that was cut short, or was written by another version, is read as far as
it goes, and what is missing is named.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from loadtests import foreign_files
from loadtests.recording import messages as stages
from loadtests.recording.messages import (
    GeneratorDone,
    GeneratorLost,
    Measured,
    OfStage,
    Report,
    Stage,
    StageStarted,
    UpstreamChanged,
    Usage,
)
from loadtests.recording.slices import Slice
from loadtests.results import LONGEST_NAME, UnreadableRun, plausible
from mock_upstream.units.documents import from_json, from_toml

FORMAT = "brownout-slices/1"
_FAMILY = "brownout-slices/"


@dataclass(slots=True)
class StageRecord:
    """
    Everything that came back about one stage; filled while it is played, or from its file.

    `stage.measure` is what was measured, once that is known to be less than was planned.
    `usage` is None in files of earlier versions, and for a stage that was cut short. `died` says
    who ended in it or before it, the stage's deployment or the mock upstream. `cut` are the quarter
    seconds of its window that are left out, once that is known; see `disturbances`.
    """

    stage: Stage
    begun: StageStarted | None = None
    usage: Usage | None = None
    slices: list[Slice] = field(default_factory=list)
    dones: dict[str, GeneratorDone] = field(default_factory=dict)
    losts: list[GeneratorLost] = field(default_factory=list)
    died: Literal["deployment", "mock upstream"] | None = None
    cut: Sequence[int] = ()
    _received: dict[str, set[int]] = field(default_factory=dict)

    def add(self, message: OfStage) -> None:
        """
        Take in a message about this stage; a report that came twice counts once.

        Raises:
            ValueError: it is about another stage, or a histogram in it is broken.
        """
        if message.stage != self.stage.number:
            raise ValueError(f"stage {self.stage.number} was told about stage {message.stage}")
        match message:
            case StageStarted():
                self.begun = message
            case Measured():
                if not 0 < message.measure <= self.stage.measure:
                    raise ValueError(f"{message.measure:g} s of {self.stage.measure:g} s")
                self.stage = self.stage.model_copy(update={"measure": message.measure})
            case GeneratorDone():
                self.dones[message.generator] = message
            case GeneratorLost():
                self.losts.append(message)
            case Usage():
                self.usage = message
            case Report():
                received = self._received.setdefault(message.generator, set())
                if message.sequence not in received:
                    parts = [part.slice(message.stage) for part in message.slices]
                    received.add(message.sequence)
                    self.slices += parts

    @property
    def window(self) -> tuple[float, float] | None:
        """Start and end of the measured window, in monotonic seconds; None: it never began."""
        if self.begun is None:
            return None
        start = self.begun.at + self.stage.settle
        return start, start + self.stage.measure

    @property
    def complete(self) -> bool:
        """Whether the stage began, and every generator ended it and sent all its reports."""
        return self.begun is not None and not self.losts and not self.missing()

    def missing(self) -> list[str]:
        """What has not come, in words; empty when nothing is missing."""
        if self.begun is None:
            return ["it never began"]
        words = []
        for name in self.begun.generators:
            received = self._received.get(name, set())
            done = self.dones.get(name)
            if done is None:
                words.append(f"generator {name} did not finish it")
            elif gaps := done.reports - sum(number < done.reports for number in received):
                words.append(f"{gaps} of {done.reports} reports of generator {name} are lost")
        return words


class Header(BaseModel):
    """The first line of `slices.jsonl`."""

    type: Literal["run"] = "run"
    format: str = FORMAT
    id: str
    name: str
    started: str = ""  # ISO 8601, UTC
    origin: float | None = None  # monotonic seconds
    environment: dict[str, Any] = {}
    deployments: dict[str, dict[str, Any]] = {}
    plan: dict[str, Any] = {}
    capacity_search: dict[str, Any] | None = None  # see capacity.margins.Bounds
    comparison: dict[str, Any] | None = None  # see verdicts.config.ComparisonConfig


@dataclass(slots=True)
class Record:
    """
    A run as it was written.

    `probes` are the windows of experiments, which are no stages of the ladder and count for none of
    its points. `changes` are those of the upstream, by time; `problems` concern the run, or a
    deployment, as a whole; `dead` are deployments that ended on the way, and how.
    """

    header: Header
    stages: list[StageRecord] = field(default_factory=list)
    probes: list[StageRecord] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    changes: list[UpstreamChanged] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    dead: dict[str, str] = field(default_factory=dict)
    status: Literal["complete", "interrupted"] = "interrupted"

    @property
    def latest(self) -> StageRecord | None:
        """The one that began last."""
        both = [*self.stages[-1:], *self.probes[-1:]]
        return max(both, key=lambda one: one.stage.number, default=None)

    def begin(self, stage: Stage) -> StageRecord:
        """Add the record of a stage that is about to be played."""
        made = StageRecord(stage, died="deployment" if stage.deployment in self.dead else None)
        (self.stages if stage.probe is None else self.probes).append(made)
        return made

    def add_problem(self, text: str, where: str | None = None) -> None:
        """
        Add a problem of the run.

        Args:
            where: the deployment that ended, or "mock": in the latest stage, which is found to be
                so at its end.
        """
        self.problems.append(f"{where}: {text}" if where else text)
        if not where:
            return
        self.dead[where] = text
        latest = self.latest
        if latest and where in ("mock", latest.stage.deployment):
            latest.died = "mock upstream" if where == "mock" else "deployment"


def read(folder: Path) -> Record:
    """
    The record of the run in this folder.

    Raises:
        UnreadableRun: there is no `slices.jsonl`, or it is something else.
    """
    file = folder / "slices.jsonl"
    try:
        lines = foreign_files.lines(file)
        header = next(lines, None)
    except FileNotFoundError:
        raise UnreadableRun(
            f"{folder} holds no slices.jsonl. Give the folder that `brownout run` printed last."
        ) from None
    except OSError as error:
        raise UnreadableRun(f"{file} cannot be read: {error.strerror or error}") from error
    record = _begin(folder, file, header)
    unread: list[int] = []
    unknown: set[str] = set()
    by_number: dict[int, StageRecord] = {}
    for number, line in lines:
        try:
            _take(record, by_number, line, unknown)
        except ValueError:
            unread.append(number)
    _name_unread(record, file, unread)
    if unknown:
        names = ", ".join(sorted(unknown))
        record.problems.append(
            f"slices.jsonl: what this version does not know is left out: {names}."
        )
    _find_plan(record, folder / "plan.toml")
    _read_samples(record, folder / "samples.jsonl")
    return record


def _begin(folder: Path, file: Path, header: tuple[int, bytes] | None) -> Record:
    nameless = Header(id=folder.name, name=folder.name)
    if header is None:
        return Record(nameless, problems=["slices.jsonl is empty: nothing was measured."])
    try:
        read = Header.model_validate_json(header[1])
    except ValidationError:
        problem = "The first line of slices.jsonl, which says what was run, cannot be read."
        return Record(nameless, problems=[problem])
    found = f"{read.format!r:.{LONGEST_NAME}}"
    if not read.format.startswith(_FAMILY):
        raise UnreadableRun(f"{file} has the format {found}; this version reads {FORMAT!r}.")
    record = Record(read)
    if read.format != FORMAT:
        record.problems.append(
            f"slices.jsonl has the format {found}, this version reads {FORMAT!r}: "
            "what it does not know is left out."
        )
    return record


def _take(
    record: Record, by_number: dict[int, StageRecord], line: bytes, unknown: set[str]
) -> None:
    """
    Raises ValueError when the line is not one that a run writes.

    Args:
        unknown: takes the names of fields that are not read.
    """
    plain = _object(line)
    match plain.get("type"):
        case "problem":
            where = plain.get("deployment")
            record.add_problem(str(plain.get("text", "")), str(where) if where else None)
        case "end":
            if plain.get("status") == "complete":
                record.status = "complete"
        case _:
            message = _message(line, unknown)
            if isinstance(message, Stage):
                if message.number not in by_number:
                    by_number[message.number] = record.begin(message)
            elif isinstance(message, UpstreamChanged):
                record.changes.append(message)
            elif isinstance(message, OfStage):
                if message.stage not in by_number:
                    raise ValueError(f"stage {message.stage} is not known")
                by_number[message.stage].add(message)


def _message(line: bytes, unknown: set[str]) -> Any:
    """The message on a line; a newer version may have written more keys than this one knows."""
    try:
        return stages.decode(line)
    except ValueError as error:
        cause = error.__cause__
        if not isinstance(cause, ValidationError):
            raise
        plain = _object(line)
        for wrong in cause.errors():
            if wrong["type"] != "extra_forbidden":
                raise
            _, *path, name = wrong["loc"]  # behind the type of the message
            holder: Any = plain
            for key in path:
                holder = holder[key]
            del holder[name]
            unknown.add(str(name))
        return stages.decode(json.dumps(plain).encode())


def _object(line: bytes) -> dict[str, Any]:
    plain = from_json(line)
    if not isinstance(plain, dict):
        raise ValueError(f"not an object: {line[:40]!r}")
    return plain


def _find_plan(record: Record, file: Path) -> None:
    """The plan stands in the header, or in a file of the same folder."""
    if record.header.plan:
        return
    try:
        record.header.plan = from_toml(foreign_files.text(file, foreign_files.LARGEST_PLAN))
    except (OSError, ValueError) as error:
        record.problems.append(f"The plan is not known, nor are its SLOs: {error}.")


def _read_samples(record: Record, file: Path) -> None:
    unread = []
    try:
        for number, line in foreign_files.lines(file):
            try:
                sample = _object(line)
                if not plausible(sample):
                    raise ValueError("a number that no measurement gives")
                sample["at"] = float(sample["at"])
            except (ValueError, KeyError, TypeError):
                unread.append(number)
            else:
                record.samples.append(sample)
        if not record.samples:
            record.problems.append(
                "samples.jsonl holds no sample: what the processes and the mock did is not known."
            )
    except OSError:
        record.problems.append(
            "samples.jsonl is missing: what the processes and the mock did is not known."
        )
        return
    _name_unread(record, file, unread)


def _name_unread(record: Record, file: Path, numbers: list[int]) -> None:
    if not numbers:
        return
    first = f"line {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} lines"
    more = "" if len(numbers) == 1 else f", the first is line {numbers[0]}"
    [(last, line)] = deque(foreign_files.lines(file), maxlen=1)
    cut = last == numbers[-1] and not line.endswith(b"\n")
    why = "; the file ends in the middle of its last line" if cut else ""
    record.problems.append(f"{file.name}: {first} cannot be read{more}{why}.")
