"""
`brownout claims`: statements about FastAPI and its HTTP clients, put to the test.

A statement is an `Experiment` in one of the modules of `table`; it is judged by what `brownout run`
measures of the plans in `plans`, several of which serve more than one.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from loadtests import plans, session
from loadtests.analysis import records
from loadtests.claims.experiment import Case, Experiment, Finding, experiments
from loadtests.claims.seen import Seen
from loadtests.controller import Observer
from loadtests.deployments import DeploymentFailed
from loadtests.engine_process import EngineFailed

__all__ = ["Case", "Experiment", "Finding", "experiments", "plan_of", "play"]

PLANS = Path(__file__).parent / "plans"


def plan_of(name: str) -> plans.Plan:
    """One of the plans that the experiments are judged by."""
    return plans.read(PLANS / f"{name}.toml")


def play(
    chosen: Sequence[Experiment], out: Path, observer: Observer, begins: Callable[[str], None]
) -> Iterator[tuple[Finding, dict[str, Seen]]]:
    """
    Play the plans of the chosen experiments, each once; yields each finding as soon as all its
    plans are played, with what was seen of them.

    Args:
        out: takes the folders of the runs.
        begins: called with the name of each plan.

    Raises:
        KeyboardInterrupt: Ctrl-C; nothing is left running.
    """
    seen: dict[str, Seen | str] = {}
    waiting = list(chosen)
    for name in dict.fromkeys(plan for one in chosen for plan in one.plans):
        begins(name)
        seen[name] = _played(name, out, observer)
        ready = [one for one in waiting if seen.keys() >= set(one.plans)]
        waiting = [one for one in waiting if one not in ready]
        for one in ready:
            found = {plan: it for plan in one.plans if isinstance(it := seen[plan], Seen)}
            yield one.finding(seen), found


def _played(name: str, out: Path, observer: Observer) -> Seen | str:
    """What was seen, or why there is nothing to see."""
    plan = plan_of(name)
    try:
        outcome = session.run(plan, out, observer, [])
    except (DeploymentFailed, EngineFailed) as error:
        return str(error)
    if outcome.code == session.INTERRUPTED:
        raise KeyboardInterrupt
    return Seen(plan, outcome.run, records.read(outcome.folder))
