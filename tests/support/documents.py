"""Commands and links of the documents, as they stand in the Markdown.

A comment before a fenced block says how it is played; it does not show on the page:

    <!-- file: NAME -->              the block is the content of a file for the commands below it
    <!-- exit: 2 -->                 the command ends with this code, not with 0
    <!-- long: exit 0 3 -->          takes long or measures: `make docs-check` plays it
    <!-- background -->              goes on while the commands below it are played
    <!-- not run: REASON -->         cannot be played by a test

A block of `bash` is played as a script. In a block of `console` lines with a `$` are commands and
the others are their output: each of these lines must be printed, whatever its numbers are.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "docs" / "examples" / "shop" / "main.py"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PLAYED = {"bash", "console"}

_COMMENT = re.compile(r"<!-- (file|exit|long|background|not run)(?:: (.+?))? -->")
_FENCE = re.compile(r"^( *)```(\w*)$")
# Ports that the documents use; tests take free ones in their place.
_PORTS = re.compile(r"\b(?:8000|8089|9000|9001)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block; `how` and `value` are those of the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    how: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def codes(self) -> set[int]:
        """Exit codes with which the commands can end."""
        return {int(code) for code in re.findall(r"\d+", self.value)} or {0}

    def script(self) -> str:
        """The commands of the block."""
        if self.language == "bash":
            return self.text
        lines, goes_on = [], False
        for line in self.text.splitlines():
            if goes_on or line.startswith("$ "):
                lines.append(line.removeprefix("$ ").removeprefix("> "))
                goes_on = line.endswith("\\")
        return "\n".join(lines)

    def output(self) -> list[str]:
        """The lines that a block of `console` shows as output."""
        if self.language != "console":
            return []
        commands = {
            f"{mark}{line}" for line in self.script().splitlines() for mark in ("$ ", "> ", "")
        }
        lines = (line.rstrip() for line in self.text.splitlines())
        shown = [line for line in lines if line not in commands and not line.startswith("$ ")]
        return [line for line in shown if line and "..." not in line]


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    how, inside = ("", ""), None
    start = 0
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if inside is not None:
            if fence and not fence[2]:
                indent = len(inside[1])
                text = "\n".join(each[indent:] for each in lines[start : number - 1])
                found.append(Block(page, start, inside[2], text + "\n", *how))
                how, inside = ("", ""), None
        elif fence:
            inside, start = fence, number
        elif comment := _COMMENT.search(line):
            how = (comment[1], comment[2] or "")
    return found


def _shape(line: str) -> str:
    """The line with each number as 0 and each gap as one space: what does not depend on the run."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(?:[.,]\d+)*", "0", line)).strip()


@dataclass
class Sandbox:
    """A folder with the example service, in which the commands of one page are played."""

    folder: Path
    free_port: Callable[[], int]
    _ports: dict[str, str] = field(default_factory=dict)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def prepare(self, page: Path) -> None:
        """Put the service there, and the plan of the first page for the commands of the others."""
        (self.folder / "shop").mkdir(parents=True, exist_ok=True)
        shutil.copy(SHOP, self.folder / "shop" / "main.py")
        first = ROOT / "README.md"
        for block in blocks(first) if page != first else []:
            if block.how == "file":
                (self.folder / block.value).write_text(block.text, encoding="utf-8")

    def play(self, block: Block, timeout: float) -> str:
        """
        What the commands of a block print.

        Raises:
            AssertionError: they end with another code, or print something else.
        """
        if block.how == "file":
            path = self.folder / block.value
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._with_ports(block.text), encoding="utf-8")
            return ""
        script = self._with_ports(block.script())
        if block.how == "background":
            self._start(script)
            return ""
        with self._process(script) as process:
            try:
                printed, _ = process.communicate(timeout=timeout)
            except BaseException:
                _end(process)
                raise
        text = printed.decode("utf-8")
        assert process.returncode in block.codes, (
            f"{block}: exit code {process.returncode}\n{script}\n{text}"
        )
        if block.how != "long":
            known = {_shape(line) for line in text.splitlines()}
            lost = [line for line in block.output() if _shape(self._with_ports(line)) not in known]
            assert not lost, f"{block}: not printed: {lost}\n{text}"
        return text

    def _start(self, script: str) -> None:
        process = self._process(script)
        self._running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), f"ended at once: {script}"

    def _process(self, script: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _with_ports(self, text: str) -> str:
        return _PORTS.sub(
            lambda port: self._ports.setdefault(port.group(), str(self.free_port())), text
        )

    def close(self) -> None:
        for process in self._running:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
            break
    if process.stdout is not None:
        process.stdout.close()


def played(wanted: Callable[[Block], bool]) -> Iterator[tuple[Path, list[Block]]]:
    """Pages with blocks of commands that are wanted, each with these and its files, in order."""
    for page in PAGES:
        of_page = blocks(page)
        if any(block.language in PLAYED and wanted(block) for block in of_page):
            yield (
                page,
                [
                    block
                    for block in of_page
                    if block.how == "file" or (block.language in PLAYED and wanted(block))
                ],
            )
