"""A session: mock and deployments up, an engine on the line, a run for each test that it begins."""

import signal
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtests import choices, environment, plans, report, runfolder
from loadtests.analysis import capacity, runs
from loadtests.analysis.trials import Bounds
from loadtests.controller import Observer, StoppedByHand, Targets, play
from loadtests.deployments import DeploymentFailed, Fleet, Mock, running
from loadtests.engine_process import Engine, EngineFailed, Line, engine
from loadtests.exit_codes import DIED, FAILED, FINE, INTERRUPTED, NOT_MEASURABLE
from loadtests.laboratory.desk import Laboratory
from loadtests.laboratory.upstream import Refused, Upstream
from loadtests.plans import Plan, UrlDeployment
from loadtests.process_groups import uninterrupted
from loadtests.results import Capacity, Run
from loadtests.runfolder import StorageFailed
from loadtests.samples import Sampler
from loadtests.schedules import Schedule, ladder
from loadtests.schedules.search import Search
from loadtests.stages import Finish, Hello, Started


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run. `code` is an exit code of design: 0, 1, 3, 4 or 130."""

    folder: Path
    run: Run
    code: int


def run(
    plan: Plan,
    out: Path,
    observer: Observer,
    arguments: Sequence[str],
    schedule: Schedule = ladder,
    lent: Mock | None = None,
) -> Outcome:
    """
    Play the plan once, headless.

    Args:
        arguments: for Locust, beside ours.
        schedule: which stages; those of the plan's levels when it is not given.
        lent: a mock that runs already and plays the plan's profile, to be used and left running.

    Raises:
        deployments.DeploymentFailed, EngineFailed: nothing was measured.
    """
    folder = runfolder.make(out, plan.name)
    with _interruptible(), Line() as line, _fleet(plan, folder, lent) as fleet:
        headless = ["--headless", "--only-summary", *arguments]
        log = folder / "logs" / "generator.log"
        with engine(line, folder / "plan.toml", log, fleet.cores, headless) as hello:
            session = _Session(plan, out, folder, fleet, line, observer, hello, schedule)
            return session.next() or _nothing_began(log)


def ui(
    plan: Plan,
    out: Path,
    observer: Observer,
    arguments: Sequence[str],
    opened: Callable[[], None],
    recorded: Callable[[Outcome], None],
) -> None:
    """
    Bring everything up with Locust's web UI and record each test until Ctrl-C.

    Args:
        arguments: for Locust, beside ours: where the UI listens.
        opened: called when the UI answers.
        recorded: called with each run.

    Raises:
        deployments.DeploymentFailed, EngineFailed: it did not come up.
    """
    folder = runfolder.make(out, plan.name)
    with _interruptible(), Line() as line, _fleet(plan, folder) as fleet:
        log = folder / "logs" / "generator.log"
        with engine(line, folder / "plan.toml", log, fleet.cores, arguments) as hello:
            session = _Session(plan, out, folder, fleet, line, observer, hello)
            opened()
            with suppress(KeyboardInterrupt):  # the way to end it
                while (outcome := session.next()) is not None:
                    recorded(outcome)


def control(
    plan: Plan,
    out: Path,
    observer: Observer,
    announce: Callable[[str, str], None],
    recorded: Callable[[Outcome], None],
) -> int:
    """
    Serve an engine that was started first: plain Locust. Returns the exit code of the last run.

    Args:
        announce: called with the line's address and token once everything is up.
        recorded: called with each run.

    Raises:
        deployments.DeploymentFailed: it did not come up.
    """
    folder = runfolder.make(out, plan.name)
    code = FINE
    with _interruptible(), Line() as line, _fleet(plan, folder) as fleet:
        announce(line.address, line.token)
        session = _Session(plan, out, folder, fleet, line, observer, line.accept())
        while (outcome := session.next()) is not None:
            code = outcome.code
            recorded(outcome)
    return code


class _Session:
    def __init__(
        self,
        plan: Plan,
        out: Path,
        folder: Path,
        fleet: Fleet,
        line: Line,
        observer: Observer,
        hello: Hello,
        schedule: Schedule = ladder,
    ) -> None:
        self._plan, self._out, self._folder = plan, out, folder
        self._fleet, self._line = fleet, line
        self._engine: Engine = line
        self._observer = observer
        self._generator = hello.pid
        self._upstream = Upstream(fleet.mock, plan.upstream)
        self._laboratory: Laboratory | None = None
        if hello.web:
            laboratory = Laboratory(line, observer, out, self._upstream)
            laboratory.open()
            self._engine = self._observer = self._laboratory = laboratory
        self._schedule = schedule
        self._runs = 0
        self._interrupted = False

    def next(self) -> Outcome | None:
        """
        Wait for the engine to begin a test and record it; None when the engine is gone, or Ctrl-C
        ended the test before.
        """
        while not self._interrupted:
            try:
                message = self._engine.receive(None)
            except EngineFailed:
                return None
            if isinstance(message, Started):
                try:
                    return self._record(choices.applied(self._plan, message.options))
                except (plans.PlanError, StorageFailed) as error:
                    if self._laboratory is None:
                        raise
                    self._laboratory.refused(str(error))
                    self._line.send(Finish())
        return None

    def _record(self, plan: Plan) -> Outcome:
        path = self._folder if not self._runs else runfolder.make(self._out, plan.name)
        self._runs += 1
        text = plans.to_toml(plan)
        _write(path / "plan.toml", text)
        urls = {name: one.url for name, one in self._fleet.deployments.items()}
        urls |= {n: d.url for n, d in plan.deployments.items() if isinstance(d, UrlDeployment)}
        folder = runfolder.RunFolder(path, self._header(path, plan, urls), tomllib.loads(text))
        codes = set[int]()
        complaints: list[str] = []
        cores, gauges = self._fleet.cores, self._fleet.gauges
        take = gauges.take if gauges else None
        with (
            cores.pinned_to(cores.mock | cores.generator),  # this process samples and analyses
            Sampler(self._processes, self._fleet.mock.control, folder.sample, take),
        ):
            try:
                self._upstream.begin(plan.upstream)
                if self._laboratory:
                    self._laboratory.began(folder)
                targets = Targets(urls, self._fleet.dead, lambda: self._restart(urls))
                died = play(plan, targets, self._engine, folder, self._observer, self._schedule)
                status = "complete"
                codes |= {DIED} if died else set()
            except (KeyboardInterrupt, StoppedByHand) as error:
                self._interrupted = isinstance(error, KeyboardInterrupt)
                status = "interrupted"
                codes.add(INTERRUPTED)
            except (DeploymentFailed, EngineFailed, Refused, StorageFailed) as error:
                status = "interrupted"
                complaints.append(_told(error, path))
                codes.add(DIED if isinstance(error, DeploymentFailed) else NOT_MEASURABLE)
                with suppress(EngineFailed):
                    self._engine.send(Finish())
            finally:
                self._upstream.end()
        if gauges and (complaint := gauges.complaint()):
            complaints.append(complaint)
        for text in complaints:
            self._observer.problem(text)
        found, stored = self._ended(folder, status, complaints)
        codes |= set() if stored else {NOT_MEASURABLE}
        if self._laboratory:
            self._laboratory.ended(found)
        codes |= _slo_codes(found) | verdict_codes(found) | self._capacity_codes(found)
        return Outcome(path, found, weightiest(codes))

    def _ended(
        self, folder: runfolder.RunFolder, status: str, complaints: Sequence[str]
    ) -> tuple[Run, bool]:
        """The run, and whether all of it is on disk."""
        with uninterrupted():  # a second Ctrl-C waits for the report
            failure = None
            for text in complaints:
                with suppress(StorageFailed):  # the last line fails, too
                    folder.problem(text)
            try:
                folder.end(status)
                found = runs.analyse(folder.path)
            except StorageFailed as error:
                failure = error
                found = runs.run_of(folder.record)
            try:
                report.write(found, folder.path)
            except OSError as error:
                failure = runfolder.failed(folder.path, error)
            if failure is not None and str(failure) not in complaints:
                self._observer.problem(str(failure))
        return found, failure is None

    def _header(self, path: Path, plan: Plan, urls: dict[str, str]) -> dict[str, Any]:
        facts = environment.facts(plan.seed) | {"cores_used": self._fleet.cores.described()}
        how = {
            name: {"url": urls[name]}
            | (self._fleet.deployments[name].how if name in self._fleet.deployments else {})
            for name in plan.deployments
        }
        return runfolder.header(path, plan, facts, how) | self._schedule.described()

    def _restart(self, urls: dict[str, str]) -> None:
        urls |= {name: one.url for name, one in self._fleet.restart().items()}

    def _capacity_codes(self, found: Run) -> set[int]:
        if not isinstance(self._schedule, Search):
            return set()
        bounds = self._schedule.bounds
        return {_capacity_code(one, bounds) for one in found.capacities.values()}

    def _processes(self) -> dict[str, list[int]]:
        try:
            engine = psutil.Process(self._generator)
            pids = [engine.pid, *(child.pid for child in engine.children(recursive=True))]
        except psutil.NoSuchProcess:
            pids = []
        return {**self._fleet.processes(), "generator": pids}


def _told(error: Exception, path: Path) -> str:
    match error:
        case EngineFailed():
            return f"{error}; see {path / 'logs'}"
        case Refused():
            return f"The upstream does not play this run's profile: {error}"
        case _:
            return str(error)


def _write(path: Path, text: str) -> None:
    """Raises StorageFailed."""
    try:
        path.write_text(text)
    except OSError as error:
        raise runfolder.failed(path, error) from None


def _slo_codes(run: Run) -> set[int]:
    codes = {"met": FINE, "missed": FAILED, "unresolved": NOT_MEASURABLE}
    return {codes[slo.status] for slo in run.slos}


def verdict_codes(run: Run) -> set[int]:
    """The exit codes of what was compared."""
    codes = {"WORSE": FAILED, "UNRESOLVED": NOT_MEASURABLE, "INVALID": NOT_MEASURABLE}
    return {codes.get(one.verdict, FINE) for one in run.verdicts}


def _capacity_code(found: Capacity, bounds: Bounds) -> int:
    if capacity.undecided(found, bounds):
        return NOT_MEASURABLE
    return FAILED if capacity.breaks_everywhere(found) else FINE


def weightiest(codes: set[int]) -> int:
    """The one that a caller must hear of first, where several hold."""
    order = (INTERRUPTED, DIED, FAILED, NOT_MEASURABLE)
    return next((code for code in order if code in codes), FINE)


def _nothing_began(log: Path) -> Outcome:
    raise EngineFailed(f"the load generator ended before the test began; its log: {log}")


@contextmanager
def _fleet(plan: Plan, folder: Path, lent: Mock | None = None) -> Iterator[Fleet]:
    _write(folder / "plan.toml", plans.to_toml(plan))
    with running(plan, folder, lent=lent) as fleet:
        yield fleet


@contextmanager
def _interruptible() -> Iterator[None]:
    """
    SIGTERM and SIGHUP end a session as Ctrl-C does: everything is stopped and reported.

    Ctrl-C ends it also where SIGINT was ignored, as in the background of a script. A SIGHUP that
    is ignored stays so: that is what `nohup` is for.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not come here
        return

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    ends = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
