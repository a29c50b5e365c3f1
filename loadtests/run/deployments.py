"""The processes of a plan: the mock upstream and the deployments, up for the length of a `with`."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from loadtests.plans import Deployment, Plan
from loadtests.processes.affinity import Cores
from loadtests.processes.groups import ProcessGroup, members, stop, uninterrupted
from loadtests.processes.pids import runs
from loadtests.run.starter import Deployed, RunningMock, Starter
from loadtests.run.waiting import DeploymentFailed, called
from loadtests.samples.gauges import Collector
from mock_upstream import certificates


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that runs for a plan. `gauges`: receives the telemetry of deployments, if it is on."""

    mock: RunningMock
    deployments: Mapping[str, Deployed]
    cores: Cores
    gauges: Collector | None
    _groups: Mapping[str, ProcessGroup]
    _restart: Callable[[Mapping[str, Deployment] | None], Mapping[str, Deployed]]

    def restart(self, only: Mapping[str, Deployment] | None = None) -> Mapping[str, Deployed]:
        """
        Restart all deployments that were started here, and return their new addresses by name.

        Args:
            only: these alone, as they are described here.

        Raises:
            DeploymentFailed: one did not become ready again.
        """
        return self._restart(only)

    def dead(self) -> dict[str, str]:
        """The processes that have ended, "mock" among them: name -> how, with the last words."""
        ends = {name: (group.ended(), group) for name, group in self._groups.items()}
        gone = self._lent and not runs(self.mock.pid)
        return ({"mock": f"{called('mock')} has ended."} if gone else {}) | {
            name: f"{called(name)} {end}.{group.last_words()}"
            for name, (end, group) in ends.items()
            if end
        }

    def failure_words(self, name: str, exceptions_only: bool = False) -> str:
        """What the log of a deployment says of its failures; empty for one that ran already."""
        group = self._groups.get(name)
        return group.failure_words(exceptions_only=exceptions_only) if group else ""

    def processes(self) -> dict[str, list[int]]:
        """The process ids of the mock and of each deployment that was started, by name."""
        found = members(self._groups.values())
        lent = {"mock": [self.mock.pid]} if self._lent else {}
        return lent | {name: found[group.pid] for name, group in self._groups.items()}

    @property
    def _lent(self) -> bool:
        """Whether the mock ran before."""
        return "mock" not in self._groups


@dataclass(frozen=True, slots=True)
class Launch:
    """All that was started for a plan. It may still be starting."""

    cores: Cores
    ready: Callable[[], Fleet]
    """Waits until everything is ready. Raises DeploymentFailed."""


@contextmanager
def running(
    plan: Plan, folder: Path, only: Collection[str] | None = None, lent: RunningMock | None = None
) -> Iterator[Fleet]:
    """
    Start what the plan needs, wait until it is ready, and stop it whatever happens.

    Takes and raises what `launched` does.
    """
    with launched(plan, folder, only, lent) as launch:
        yield launch.ready()


@contextmanager
def launched(
    plan: Plan, folder: Path, only: Collection[str] | None = None, lent: RunningMock | None = None
) -> Iterator[Launch]:
    """
    Start what the plan needs, all at once, and stop it whatever happens.

    The caller can start something of its own before it waits for `Launch.ready`.

    Args:
        folder: takes the upstream's profile and `logs/`.
        only: the names of the deployments to start; None: all.
        lent: the mock, where it runs already and plays the plan's profile: for the length of the
            block it is on its core, and is neither started nor stopped.

    Raises:
        DeploymentFailed: a program cannot be started; the others are stopped again.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    wanted = {n: d for n, d in plan.deployments.items() if only is None or n in only}
    cores = Cores.here()
    moved = cores.moved_to(cores.mock, lent.pid) if lent else nullcontext()
    with _collecting(plan, cores) as collector, moved, ExitStack() as stack:
        headers = [request.headers for request in plan.requests]
        starter = Starter(folder / "logs", cores, collector, headers)
        if plan.upstream.tls and not lent:
            try:
                issued = stack.enter_context(certificates.issued())
            except certificates.NoTrustme as error:
                raise DeploymentFailed(f"{called('mock')} cannot be started: {error}") from None
        else:
            issued = None
        try:
            mock = lent or starter.mock(plan, folder / "upstream.json", issued)
            deployed = starter.start(wanted, mock)

            def restart(only: Mapping[str, Deployment] | None) -> Mapping[str, Deployed]:
                return starter.restarted(wanted if only is None else only, mock)

            def ready() -> Fleet:
                return Fleet(mock, deployed(), cores, collector, starter.groups, restart)

            yield Launch(cores, ready)
        finally:
            with uninterrupted():
                stop(starter.groups.values())


@contextmanager
def _collecting(plan: Plan, cores: Cores) -> Iterator[Collector | None]:
    """None where the plan has no telemetry."""
    if not plan.telemetry:
        yield None
        return
    with ExitStack() as stack:
        with cores.pinned_to(cores.mock | cores.generator):  # its thread stays there
            collector = stack.enter_context(Collector(plan.deployments))
        yield collector
