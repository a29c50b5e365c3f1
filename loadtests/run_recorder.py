"""Records what an engine plays: a run for each test that it begins."""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from loadtests import environment, plans, redaction
from loadtests.analysis import runs
from loadtests.analysis.capacity import result
from loadtests.analysis.capacity.margins import Bounds
from loadtests.dashboard.live import Dashboard
from loadtests.dashboard.upstream_control import ChangeRefused, UpstreamControl
from loadtests.outcomes import Ending, Outcome, endings_of
from loadtests.plans import Plan, UrlDeployment, overrides
from loadtests.processes import interrupts, open_files
from loadtests.processes.interrupts import HeldSignals
from loadtests.processes.pids import descendants
from loadtests.recording import messages
from loadtests.recording.messages import ON_START, Finish, Hello, Probe, Raised, Started
from loadtests.report import writing
from loadtests.report.charts import pictures
from loadtests.results import Capacity, Run, UnreadableRun
from loadtests.run import log_sizes
from loadtests.run.barrier import Barrier
from loadtests.run.controller import Observer, StoppedByHand, Targets, play
from loadtests.run.deployments import Fleet
from loadtests.run.engine_process import (
    ControllerSocket,
    Engine,
    EngineFailed,
    LocustfileError,
)
from loadtests.run.strays import Strays
from loadtests.run.waiting import DeploymentFailed
from loadtests.samples import Sampler
from loadtests.samples.mock import LedgerReader
from loadtests.schedules import Schedule, ladder
from loadtests.schedules.search import Search
from loadtests.schedules.why import Why, raised
from loadtests.storage import run_folder
from loadtests.storage.run_folder import StorageFailed
from loadtests.watcher.process import Watcher


class RunRecorder:
    """Records each test that the engine begins as a run in a folder of its own."""

    def __init__(
        self,
        plan: Plan,
        out: Path,
        folder: Path,
        fleet: Fleet,
        line: ControllerSocket,
        observer: Observer,
        hello: Hello,
        schedule: Schedule = ladder,
        since: float | None = None,
    ) -> None:
        """
        Args:
            since: when the command that plays a single test began; seconds, `monotonic`.
        """
        self._since = since
        self._plan, self._out, self._folder = plan, out, folder
        self._fleet, self._line = fleet, line
        self._engine: Engine = line
        self._observer = observer
        self._generator, self._notes = hello.pid, hello.notes
        self._upstream = UpstreamControl(fleet.mock, plan.upstream)
        self._dashboard: Dashboard | None = None
        if hello.web:
            dashboard = Dashboard(line, observer, out, self._upstream)
            dashboard.open()
            self._engine = self._observer = self._dashboard = dashboard
        self._schedule = schedule
        self._runs = 0
        self._interrupted = False
        self.lost: EngineFailed | None = None
        """How the engine went while it was waited for."""
        self._raised: tuple[str, Raised] | None = None
        """The deployment whose limit is larger than its plan says, for an experiment."""

    def next(self) -> Outcome | None:
        """
        Wait for the engine to begin a test and record it; None when the engine is gone, or Ctrl-C
        ended the test before.
        """
        while not self._interrupted:
            try:
                message = self._engine.receive(None)
            except EngineFailed as error:
                self.lost = error
                return None
            if isinstance(message, messages.LocustfileFailed):
                raise LocustfileError(message.text)
            if isinstance(message, Started):
                try:
                    return self._record(overrides.applied(self._plan, message.options))
                except (plans.PlanError, StorageFailed, LocustfileError) as error:
                    if self._dashboard is None:
                        raise
                    self._dashboard.refused(str(error))
                    self._line.send(Finish())
        return None

    def _record(self, plan: Plan) -> Outcome:
        path = self._folder if not self._runs else run_folder.make(self._out, plan.name)
        self._runs += 1
        text = plans.to_toml(plan)
        run_folder.write_plan(path, text)
        urls = {name: one.url for name, one in self._fleet.deployments.items()}
        urls |= {n: d.url for n, d in plan.deployments.items() if isinstance(d, UrlDeployment)}
        folder = run_folder.RunFolder(path, self._header(path, plan, urls), tomllib.loads(text))
        for note in self._notes:
            folder.problem(note)
            self._observer.problem(note)
        with interrupts.held() as held:  # after any error or signal, the report is written
            try:
                status, endings, complaints = self._played(plan, urls, folder, held)
            except BaseException:  # there is nothing to report
                with suppress(StorageFailed):
                    folder.end("interrupted")
                raise
            for text in complaints:
                self._observer.problem(text)
            found, stored = self._ended(folder, status, complaints)
        if held.came:
            self._interrupted = True
            endings.add(Ending.INTERRUPTED)
        endings |= set() if stored else {Ending.INVALID}
        if self._dashboard:
            self._dashboard.ended(found)
        endings |= endings_of(found) | self._of_capacities(found)
        return Outcome(path, found, frozenset(endings))

    def _played(
        self, plan: Plan, urls: dict[str, str], folder: run_folder.RunFolder, held: HeldSignals
    ) -> tuple[str, set[Ending], list[str]]:
        """The run's status, what became of it, and what went wrong in it."""
        status, endings = "interrupted", set[Ending]()
        complaints: list[str] = []
        cores, gauges = self._fleet.cores, self._fleet.gauges
        take = gauges.take if gauges else None
        every = cores.apps | cores.mock | cores.generator if cores.pinned else ()
        watcher = Watcher(self._fleet.processes, every)

        def processes() -> dict[str, list[int]]:
            return {**self._processes(), "": watcher.pids}

        control = self._fleet.mock.control
        sampler = Sampler(processes, control, folder.sample, take, watcher.take)
        strays = Strays(self._ledger())
        # This process samples and analyses.
        with cores.pinned_to(cores.mock | cores.generator), watcher, sampler:
            try:
                with held.released():
                    self._upstream.begin(plan.upstream)
                    if self._dashboard:
                        self._dashboard.began(folder)
                    with Barrier(self._fleet.processes, control, processes) as barrier:
                        targets = Targets(
                            urls,
                            self._fleet.dead,
                            lambda: self._restart(urls),
                            lambda name, probe: self._probe(plan, urls, name, probe),
                            barrier,
                            watcher.watch,
                            self._fleet.failure_words,
                        )
                        if isinstance(self._schedule, Why):
                            self._schedule.look = lambda: runs.run_of(folder.record)
                        died = play(
                            plan,
                            targets,
                            self._engine,
                            folder,
                            self._observer,
                            self._schedule,
                            self._since,
                        )
                status = "complete"
                endings |= {Ending.DIED} if died else set()
                if plan.locustfile is not None:
                    for text, ending in self._last_words():
                        complaints.append(text)
                        endings.add(ending)
            except (KeyboardInterrupt, StoppedByHand):
                endings.add(Ending.INTERRUPTED)
            except LocustfileError as error:
                if not any(one.begun for one in folder.record.stages):
                    raise
                complaints.append(str(error))
                endings.add(Ending.INVALID)
                with suppress(EngineFailed):
                    self._engine.send(Finish())
            except (DeploymentFailed, EngineFailed, ChangeRefused, StorageFailed, OSError) as error:
                failure = open_files.exhausted(error) or error
                if isinstance(failure, OSError):
                    raise
                complaints.append(_explained(failure, folder.path))
                gone = isinstance(error, DeploymentFailed)
                endings.add(Ending.DIED if gone else Ending.INVALID)
                with suppress(EngineFailed):
                    self._engine.send(Finish())
            finally:
                account = self._ledger()
                self._upstream.end()
        for complaint in (
            gauges.complaint() if gauges else None,
            sampler.problem(),
            watcher.problem(),
            *log_sizes.remarks(folder.path / "logs"),
            strays.problem(account),
        ):
            complaints += [redaction.text(complaint)] if complaint else []
        return status, endings, complaints

    def _last_words(self) -> Iterator[tuple[str, Ending]]:
        """
        Let the locustfile's handlers of the test's end run: what one raised, an exit code that it
        set, or that they take too long.

        With the web UI the engine stays, and only `test_stop` is waited for.
        """
        deadline = monotonic() + ON_START
        with suppress(EngineFailed):  # it is gone, as it should be, or the time is over
            while (left := deadline - monotonic()) > 0:
                match self._engine.receive(left):
                    case messages.LocustfileFailed(text=text):
                        yield text, Ending.INVALID
                    case messages.OwnExitCode(code=code):
                        yield (
                            f"the locustfile sets Locust's process_exit_code to {code}: a check of "
                            "its own says that the test failed",
                            Ending.FAILED,
                        )
                    case messages.Stopped() if self._dashboard is not None:
                        return
        if monotonic() >= deadline:
            yield (
                f"the load generator did not end within {ON_START:.0f} s: a handler of test_stop "
                "or quitting in the locustfile takes longer, and was stopped",
                Ending.INVALID,
            )

    def _ledger(self) -> Any:
        """The mock's, as it is now; None when it does not answer."""
        with closing(LedgerReader(self._fleet.mock.control)) as ledger:
            return ledger.read()

    def _ended(
        self, folder: run_folder.RunFolder, status: str, complaints: Sequence[str]
    ) -> tuple[Run, bool]:
        """The run, and whether all of it is on disk."""
        failure = None
        for text in complaints:
            with suppress(StorageFailed):  # the last line fails, too
                folder.problem(text)
        try:
            folder.end(status)
            found = runs.analyse(folder.path)
        except (StorageFailed, UnreadableRun, OSError) as error:  # such as without descriptors
            failure = error if isinstance(error, StorageFailed) else None
            found = runs.run_of(folder.record)
        try:
            found = writing.write(found, folder.path)
        except OSError as error:
            failure = run_folder.failed(folder.path, error)
        finally:
            pictures.close()  # until the next report
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
        return run_folder.header(path, plan, facts, how) | self._schedule.described()

    def _restart(self, urls: dict[str, str]) -> None:
        urls |= {name: one.url for name, one in self._fleet.restart().items()}

    def _probe(self, plan: Plan, urls: dict[str, str], name: str, probe: Probe) -> None:
        """Play a window's upstream, with the deployment's limit as the window wants it."""
        self._upstream.scaled(probe.scale, probe.pair)
        if probe.raised and self._raised != (name, probe.raised):
            changed = {name: raised(plan.deployments[name], probe.raised)}
            urls |= {n: one.url for n, one in self._fleet.restart(changed).items()}
            self._raised = (name, probe.raised)

    def _of_capacities(self, found: Run) -> set[Ending]:
        if not isinstance(self._schedule, Search):
            return set()
        bounds = self._schedule.bounds
        return {
            _of_capacity(one, bounds, any(point.valid for point in found.of(name)))
            for name, one in found.capacities.items()
        }

    def _processes(self) -> dict[str, list[int]]:
        generator = [self._generator, *descendants(self._generator)]
        return {**self._fleet.processes(), "generator": generator}


def _explained(error: Exception, path: Path) -> str:
    match error:
        case EngineFailed():
            return f"{error}; see {path / 'logs'}"
        case ChangeRefused():
            return f"The upstream does not play this run's profile: {error}"
        case _:
            return str(error)


def _of_capacity(found: Capacity, bounds: Bounds, valid: bool) -> Ending:
    """`valid`: at least one stage of the search was."""
    if result.undecided(found, bounds):
        return Ending.UNRESOLVED if valid else Ending.INVALID
    return Ending.FAILED if result.misses_everywhere(found) else Ending.FINE
