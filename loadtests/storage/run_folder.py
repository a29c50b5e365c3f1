"""A run on disk: appended to as things happen, so that a run that is cut short still reports."""

import errno
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO, Any

from loadtests import private_files, redaction
from loadtests.analysis.inputs.records import FORMAT, Header, Record
from loadtests.characters import printable
from loadtests.exit_codes import NOT_MEASURABLE, USAGE, Failure
from loadtests.processes import open_files
from loadtests.recording.messages import OfStage, Stage, UpstreamChanged, Usage

_ELSEWHERE = "Choose another folder with --out."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageFailed(Failure):
    """The run's folder cannot be written; the message says which, why, and the way out."""

    exit_code = NOT_MEASURABLE


class OutFolderFailed(StorageFailed):
    """The folder is none that can be used; nothing is measured for it."""

    exit_code = USAGE


class RunFolder:
    """
    Writes `slices.jsonl` and `samples.jsonl`.

    A line is with the system when the call returns: it outlives this process. At the end of each
    stage, while nothing is under load, all of it is put on disk: that outlives the machine.

    `record` holds what was written, so that it can be analysed at any time.
    """

    def __init__(
        self, path: Path, header: dict[str, Any], plan: dict[str, Any] | None = None
    ) -> None:
        """
        Args:
            plan: as it stands in the folder's `plan.toml`.

        Raises:
            StorageFailed: it cannot be written.
        """
        self.path = path
        self.record = Record(Header.model_validate(header))
        if plan is not None:
            self.record.header.plan = plan
        self._lock = threading.Lock()
        self._failure: OSError | None = None
        self._files: list[IO[str]] = []
        try:
            self._slices, self._samples = map(self._opened, ("slices.jsonl", "samples.jsonl"))
            self._append(self._slices, {"type": "run", "format": FORMAT} | header)
        except StorageFailed:
            self._close()
            raise

    def write(self, message: Stage | OfStage | UpstreamChanged) -> None:
        """
        Raises:
            StorageFailed: it, or something before it, is not on disk.
            ValueError: a broken report.
        """
        match message:
            case Stage():
                message = redaction.of_stage(message)
                self.record.begin(message)
            case UpstreamChanged():
                self.record.changes.append(message)
            case _:
                assert self.record.latest is not None  # a stage comes first
                requests = self.record.latest.stage.requests
                message = redaction.of_report(message, {one.name for one in requests})
                self.record.latest.add(message)
        self._put(self._slices, message.model_dump_json())
        if isinstance(message, Usage):
            self._sync()

    def problem(self, text: str, deployment: str | None = None) -> None:
        """Something that concerns the run, or one deployment, as a whole. Raises StorageFailed."""
        text = printable(redaction.masked(text))
        self.record.add_problem(text, deployment)
        self._append(self._slices, {"type": "problem", "deployment": deployment, "text": text})

    def sample(self, sample: dict[str, Any]) -> None:
        """Called from the sampler's thread, so a failure is told by what is written next."""
        self.record.samples.append(sample)
        with suppress(StorageFailed):
            self._append(self._samples, sample)

    def end(self, status: str) -> None:
        """
        Write the last line; nothing is written afterwards.

        Raises:
            StorageFailed: the files are closed all the same.
        """
        if status == "complete":
            self.record.status = "complete"
        try:
            self._append(self._slices, {"type": "end", "status": status})
            self._sync()
        finally:
            self._close()

    def _opened(self, name: str) -> IO[str]:
        try:
            file = private_files.appended(self.path / name)
        except OSError as error:
            raise failed(self.path, error) from None
        self._files.append(file)
        return file

    def _close(self) -> None:
        with self._lock:
            for file in self._files:
                with suppress(OSError):  # of what could not be written before
                    file.close()

    def _sync(self) -> None:
        """Raises StorageFailed."""
        with self._lock:
            try:
                for file in self._files:
                    if not file.closed:
                        os.fsync(file.fileno())
            except OSError as error:
                self._failure = self._failure or error
                raise failed(self.path, self._failure) from None

    def _append(self, file: IO[str], line: dict[str, Any]) -> None:
        self._put(file, json.dumps(line))

    def _put(self, file: IO[str], line: str) -> None:
        with self._lock:
            if file.closed:
                return
            try:
                if self._failure is None:
                    file.write(line + "\n")
                    file.flush()
            except OSError as error:
                self._failure = error
            if self._failure is not None:
                raise failed(self.path, self._failure)


def failed(path: Path, error: OSError, elsewhere: str = _ELSEWHERE) -> StorageFailed:
    """What to say of it; `elsewhere`: the way out where there is no permission."""
    hint = elsewhere
    if error.errno in _NO_ROOM:
        hint = f"Make room, or {elsewhere[0].lower()}{elsewhere[1:]}"
    if open_files.exhausted(error):
        hint = f"To mend it, {open_files.HINT}."
    return StorageFailed(f"{path} cannot be written: {error.strerror or error}. {hint}")


@contextmanager
def writable(path: Path, elsewhere: str = _ELSEWHERE) -> Iterator[None]:
    """
    Hold a block that writes to a path before or after what is measured.

    Raises:
        StorageFailed: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _refused(path, error, elsewhere) from None


def _refused(out: Path, error: OSError, elsewhere: str = _ELSEWHERE) -> StorageFailed:
    found = failed(out, error, elsewhere)
    if error.errno in _NO_ROOM or open_files.exhausted(error):
        return found
    return OutFolderFailed(str(found))


def make(out: Path, name: str) -> Path:
    """
    A new folder `<time>-<name>` in `out`, with `logs/` in it, for its owner alone.

    Raises:
        StorageFailed: it cannot be made.
    """
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    for attempt in range(1000):
        path = out / (f"{now}-{plain}" + (f"-{attempt + 1}" if attempt else ""))
        try:
            path.mkdir(private_files.FOLDER, parents=True)
            (path / "logs").mkdir(private_files.FOLDER)
        except FileExistsError as error:
            if path.is_dir():
                continue
            raise _refused(out, error) from None
        except OSError as error:
            raise _refused(out, error) from None
        return path
    raise StorageFailed(f"{out} already holds a thousand runs of this second")


def write_plan(folder: Path, text: str) -> None:
    """
    Write the folder's `plan.toml`.

    Raises:
        StorageFailed: it cannot be written.
    """
    try:
        private_files.write(folder / "plan.toml", text.encode())
    except OSError as error:
        raise failed(folder, error) from None


def header(
    path: Path, plan: Any, facts: dict[str, Any], deployments: dict[str, Any]
) -> dict[str, Any]:
    """The first line: what a reader needs to repeat the run and to place it in time."""
    return {
        "id": path.name,
        "name": plan.name,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "origin": monotonic(),
        "environment": facts,
        "deployments": {
            name: _encodable(redaction.of_deployment(how)) for name, how in deployments.items()
        },
    }


def encodable(text: str) -> str:
    """The text with escapes for what UTF-8 cannot hold, as in the name of a file in other bytes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
