"""A session: everything that a plan needs is up, and each test becomes a run."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from loadtests import plans, redaction
from loadtests.exit_codes import FINE
from loadtests.outcomes import Outcome
from loadtests.plans import Plan
from loadtests.processes import leftovers
from loadtests.processes.groups import ended_with, uninterrupted
from loadtests.processes.interrupts import interruptible
from loadtests.recording.messages import Hello
from loadtests.run.deployments import Launch, launched
from loadtests.run.engine_process import ControllerSocket, EngineFailed, engine
from loadtests.run.starter import RunningMock
from loadtests.schedules import Schedule, ladder
from loadtests.storage import run_folder

if TYPE_CHECKING:  # see _recorder
    from loadtests.run.controller import Observer
    from loadtests.run.pings import Pings
    from loadtests.run.suggestions import Suggestion
    from loadtests.run_recorder import RunRecorder

    Pinged = Callable[[Pings], None]


@dataclass(frozen=True, slots=True)
class Examination:
    """
    What `examine` found. `suggestion` is None where a deployment answered nothing as expected;
    `dead`: who ended meanwhile, and how.
    """

    pings: "Pings"
    suggestion: "Suggestion | None"
    dead: Mapping[str, str]


_log = logging.getLogger("brownout")


def run(
    plan: Plan,
    out: Path,
    observer: "Observer",
    arguments: Sequence[str],
    schedule: Schedule = ladder,
    lent: RunningMock | None = None,
    pinged: "Pinged | None" = None,
    words: Sequence[str] = (),
) -> Outcome:
    """
    Play the plan once, headless.

    Args:
        arguments: for Locust, in addition to brownout's.
        schedule: which stages; those of the plan's levels when it is not given.
        lent: a mock that runs already and plays the plan's profile, to be used and left running.
        pinged: takes what each deployment answers to one request of each kind before the first
            stage; None: none is sent.
        words: options of the user's locustfile, in addition to those of the plan.

    Raises:
        waiting.DeploymentFailed, EngineFailed, LocustfileFailed: nothing was measured.
    """
    since = monotonic()
    plans.check(plan)
    folder = run_folder.make(out, plan.name)
    with interruptible(), ControllerSocket() as line, _launched(plan, folder, lent) as launch:
        headless = ["--headless", "--only-summary", *arguments]
        log = folder / "logs" / "generator.log"
        more = [*plan.locust.words(), *words]
        with engine(line, folder / "plan.toml", log, launch.cores, headless, more) as connected:
            recorder = _recorder(
                plan, out, folder, launch, line, observer, connected, schedule, since, pinged
            )
            return recorder.next() or _nothing_began(log)


def examine(plan: Plan, folder: Path) -> "Examination":
    """
    Start what the plan needs, try each request on each deployment, and look at each for a moment.

    Args:
        folder: takes the logs.

    Raises:
        waiting.DeploymentFailed: it did not come up.
    """
    plans.check(plan)
    with interruptible(), _launched(plan, folder) as launch:
        from loadtests.run import pings
        from loadtests.run.short_look import look
        from loadtests.run.suggestions import suggestion

        fleet = launch.ready()
        found = pings.send_all(plan, fleet)
        names = [] if plan.locustfile else list(plan.deployments)
        looks = [look(plan, fleet, name) for name in names]
        dead = fleet.dead()
        return Examination(found, suggestion(plan, looks, len(fleet.cores.apps)), dead)


def ui(
    plan: Plan,
    out: Path,
    observer: "Observer",
    arguments: Sequence[str],
    opened: Callable[[], None],
    recorded: Callable[[Outcome], None],
    pinged: "Pinged | None" = None,
) -> None:
    """
    Bring everything up with Locust's web UI and record each test until Ctrl-C.

    Args:
        arguments: for Locust, in addition to brownout's: where the UI listens.
        opened: called when the UI answers.
        recorded: called with each run.
        pinged: as for `run`.

    Raises:
        waiting.DeploymentFailed, EngineFailed: it did not come up, or the engine was lost.
    """
    plans.check(plan)
    folder = run_folder.make(out, plan.name)
    with interruptible(), ControllerSocket() as line, _launched(plan, folder) as launch:
        log = folder / "logs" / "generator.log"
        more = plan.locust.words()
        with engine(line, folder / "plan.toml", log, launch.cores, arguments, more) as connected:
            recorder = _recorder(
                plan, out, folder, launch, line, observer, connected, pinged=pinged
            )
            opened()
            with suppress(KeyboardInterrupt):  # the way to end it
                while (outcome := recorder.next()) is not None:
                    recorded(outcome)
                if recorder.lost and line.ended() != ended_with(FINE):
                    raise recorder.lost


def control(
    plan: Plan,
    out: Path,
    observer: "Observer",
    announce: Callable[[str, str], None],
    recorded: Callable[[Outcome], None],
    pinged: "Pinged | None" = None,
) -> int:
    """
    Serve an engine that was started first: plain Locust. Returns the exit code of the last run.

    Args:
        announce: called with the line's address and token once everything is up.
        recorded: called with each run.
        pinged: as for `run`.

    Raises:
        waiting.DeploymentFailed: it did not come up.
    """
    plans.check(plan)
    folder = run_folder.make(out, plan.name)
    code = FINE
    with interruptible(), ControllerSocket() as line, _launched(plan, folder) as launch:

        def connected() -> Hello:
            announce(line.address, line.token)
            return line.accept()

        recorder = _recorder(plan, out, folder, launch, line, observer, connected, pinged=pinged)
        while (outcome := recorder.next()) is not None:
            code = outcome.exit_code()
            recorded(outcome)
    return code


def _nothing_began(log: Path) -> Outcome:
    raise EngineFailed(f"the load generator ended before the test began; its log: {log}")


@contextmanager
def _launched(plan: Plan, folder: Path, lent: RunningMock | None = None) -> Iterator[Launch]:
    run_folder.write_plan(folder, plans.to_toml(plan))
    for text in leftovers.found(folder.parent):
        _log.warning(text)
    try:
        with launched(plan, folder, lent=lent) as launch:
            yield launch
    finally:
        with uninterrupted():
            redaction.scrub(folder / "logs")  # nobody writes to them any more


def _recorder(
    plan: Plan,
    out: Path,
    folder: Path,
    launch: Launch,
    line: ControllerSocket,
    observer: "Observer",
    connected: Callable[[], Hello],
    schedule: Schedule = ladder,
    since: float | None = None,
    pinged: "Pinged | None" = None,
) -> "RunRecorder":
    """
    Wait until everything is up.

    The deployments are waited for first: when they and the engine fail, theirs is the message.
    """
    # Analysis and reports take as long to import as a deployment takes to start, meanwhile.
    from loadtests.run_recorder import RunRecorder

    fleet = launch.ready()
    if pinged:
        from loadtests.run import pings

        # The engine is still starting, so this takes no time of its own as a rule.
        pinged(pings.send_all(plan, fleet, pings.IN_A_RUN))
    return RunRecorder(plan, out, folder, fleet, line, observer, connected(), schedule, since)
