"""A run on disk: appended to as things happen, so that a run that is cut short still reports."""

import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from loadtests.stages import Message

FORMAT = "brownout-slices/1"


class RunFolder:
    """Writes `slices.jsonl` and `samples.jsonl`; a line is on disk when the call returns."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.samples: list[dict[str, Any]] = []  # as written: one a second
        self._slices = (path / "slices.jsonl").open("a")
        self._samples = (path / "samples.jsonl").open("a")
        self._append(self._slices, {"type": "run", "format": FORMAT} | header)

    def write(self, message: Message) -> None:
        with self._lock:
            self._slices.write(message.model_dump_json() + "\n")
            self._slices.flush()

    def problem(self, text: str, deployment: str | None = None) -> None:
        """Something that concerns the run, or one deployment, as a whole."""
        self._append(self._slices, {"type": "problem", "deployment": deployment, "text": text})

    def sample(self, sample: dict[str, Any]) -> None:
        """Called from the sampler's thread."""
        self.samples.append(sample)
        self._append(self._samples, sample)

    def end(self, status: str) -> None:
        """Write the last line; nothing is written afterwards."""
        self._append(self._slices, {"type": "end", "status": status})
        with self._lock:
            self._slices.close()
            self._samples.close()

    def _append(self, file: Any, line: dict[str, Any]) -> None:
        with self._lock:
            if not file.closed:
                file.write(json.dumps(line) + "\n")
                file.flush()


def make(out: Path, name: str) -> Path:
    """A new folder `<time>-<name>` in `out`, with `logs/` in it."""
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
    for attempt in range(1000):
        path = out / (f"{now}-{plain}" + (f"-{attempt + 1}" if attempt else ""))
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        (path / "logs").mkdir()
        return path
    raise FileExistsError(f"{out} already holds a thousand runs of this second")


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
        "deployments": deployments,
    }
