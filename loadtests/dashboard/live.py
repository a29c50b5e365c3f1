"""The controller's side of the pages: shows them what happens, does what they ask."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from loadtests.analysis import runs
from loadtests.analysis.numbers import load
from loadtests.analysis.points import Growing
from loadtests.dashboard import pages, scripts
from loadtests.dashboard.upstream_control import ChangeRefused, UpstreamControl
from loadtests.recording import messages
from loadtests.results import Point, Run
from loadtests.run.controller import Observer
from loadtests.run.engine_process import Engine, EngineFailed
from loadtests.schedules import Step
from loadtests.storage.run_folder import RunFolder, StorageFailed
from loadtests.storage.saved_runs import NoSuchRun, Shelf

MOST_LAID_OVER = 3  # earlier runs at a time, for all pages together


class Dashboard:
    """
    Passes content and commands between controller, engine and the pages that show a run.

    As an Engine it passes everything on and answers what pages ask; as an Observer it shows them
    what happens.
    """

    def __init__(
        self, line: Engine, observer: Observer, out: Path, upstream: UpstreamControl
    ) -> None:
        """
        Args:
            out: the folder of the runs.
            upstream: its pages may change it.
        """
        self._line, self._observer = line, observer
        self._shelf = Shelf(out)
        self._upstream = upstream
        upstream.changed = self._changed
        self._folder: RunFolder | None = None
        self._points = Growing()
        self._run: Run | None = None
        self._sections: dict[str, str] = {}
        self._over: dict[str, Run] = {}
        # Replaced whole: when an outage ends, another thread shows it.
        self._now: dict[str, Any] = {"state": "ready", "problems": []}
        self._drawn = 0  # counts versions of the charts
        self._asked: dict[str, Callable[[dict[str, Any]], None]] = {
            "upstream": self._upstream.change,
            "outage": self._upstream.outage,
            "restore": self._upstream.restore,
            "over": self._lay_over,
            "runs": lambda _: self._show_runs(),
        }

    def open(self) -> None:
        """Show the pages as they are before the first run."""
        self._show("page", pages.template())
        self._show("degradation.js", scripts.own())
        self._show("vega.js", scripts.vega())
        self._show_runs()
        self._show_now()

    def send(self, message: messages.Message) -> None:
        self._line.send(message)

    def receive(self, timeout: float | None) -> Any:
        """The next message that is not for the pages."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - monotonic(), 0.001)
            message = self._line.receive(left)
            if not isinstance(message, messages.PageCommand):
                return message
            self._answer(message)

    def began(self, folder: RunFolder) -> None:
        """A run begins."""
        self._folder, self._points = folder, Growing()
        self._now = {
            "state": "running",
            "problems": [],
            "name": folder.record.header.name,
            "id": folder.path.name,
        }
        self._analysed()

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None:
        self._observer.begins(step, number, of, seconds_left)
        assert self._folder is not None
        model = self._folder.record.header.plan["load"]["model"]
        text = f"{step.deployment} at {load(step.level, model)}"
        stage = {
            "text": f"again: {text}, {step.again}" if step.again else text,
            "number": number,
            "of": of,
            "left": round(seconds_left, 1),
        }
        self._now = self._now | {"stage": stage}
        self._show_now()

    def measured(self, point: Point) -> None:
        self._observer.measured(point)
        self._analysed()

    def problem(self, text: str) -> None:
        self._observer.problem(text)
        if text not in self._now["problems"]:
            self._now = self._now | {"problems": [*self._now["problems"], text]}
        self._show_now()

    def ended(self, run: Run) -> None:
        """The run is over, and its files are written."""
        self._folder = None
        self._now = self._now | {"state": run.status, "stage": None}
        self._draw(run)
        self._show_runs()

    def refused(self, text: str) -> None:
        """A run could not begin."""
        self._now = {"state": "refused", "problems": []}
        self._run, self._sections = None, {}
        for earlier in self._over:
            self._show_over(earlier)
        self.problem(text)

    def _analysed(self) -> None:
        assert self._folder is not None
        found = runs.run_of(self._folder.record, self._points)
        # It is not over, but nobody has cut it short.
        self._draw(found.model_copy(update={"status": "complete"}))

    def _draw(self, run: Run) -> None:
        """Show the run as it is now, alone and with each earlier one that some page lays over."""
        self._run = run
        self._sections = pages.sections(run) if run.points else {}
        self._drawn += 1
        for name, chart in pages.drawn(run).items():
            self._show(f"chart/{name}", chart)
        for earlier in self._over:
            self._show_over(earlier)
        self._show_now()

    def _show_now(self) -> None:
        now = self._now | {
            "drawn": f"{self._now.get('id')}-{self._drawn}",
            "sections": self._sections,
            "upstream": self._upstream.state(),
        }
        self._show("rows", json.dumps(pages.rows(self._run) if self._run else []))
        self._show("now", json.dumps(now))

    def _show_runs(self) -> None:
        self._show("runs", json.dumps(self._shelf.listed()))

    def _lay_over(self, values: dict[str, Any]) -> None:
        name = str(values.get("run", ""))
        if name not in self._over:
            found = self._shelf.read(name)
            try:
                pages.drawn(self._run, found)
            except Exception as error:  # whatever a file holds, it must not end this test
                raise NoSuchRun(f"{name} cannot be drawn: {error!r}") from error
            while len(self._over) >= MOST_LAID_OVER:
                gone = next(iter(self._over))
                del self._over[gone]
                for part in (*pages.CHARTS, "legend"):
                    self._show(f"over/{gone}/{part}", None)
            self._over[name] = found
        self._show_over(name)

    def _show_over(self, name: str) -> None:
        for chart, content in pages.drawn(self._run, self._over[name]).items():
            self._show(f"over/{name}/{chart}", content)
        over = self._over[name]
        legend = {"legend": pages.legend(self._run, over), "table": pages.table(over)}
        self._show(f"over/{name}/legend", json.dumps(legend))

    def _show(self, name: str, content: str | None) -> None:
        with suppress(EngineFailed):  # who waits for the engine is told
            self._line.send(messages.PageContent(name=name, content=content))

    def _answer(self, ask: messages.PageCommand) -> None:
        problem = None
        do = self._asked.get(ask.what)
        if do is None:
            problem = f"nobody answers {ask.what!r}"
        else:
            try:
                do(ask.values)
            except (ChangeRefused, NoSuchRun) as error:
                problem = str(error)
        self._line.send(messages.CommandResult(number=ask.number, problem=problem))

    def _changed(self, change: messages.UpstreamChanged | None) -> None:
        """The upstream plays something else; None: it only tells something new of itself."""
        # Errors here surface to the next caller that waits for the engine or writes.
        with suppress(EngineFailed, StorageFailed):
            if change is not None and self._folder is not None:
                self._folder.write(change)
            self._show_now()
