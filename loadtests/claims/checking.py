"""
`brownout claims`: statements about FastAPI and its HTTP clients, put to the test.

A statement is an `Experiment` in one of the modules of `table`; it is judged by what `brownout run`
measures of the plans in `plans`, several of which serve more than one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from loadtests import plans, session
from loadtests.analysis.inputs import records
from loadtests.claims import page
from loadtests.claims.experiment import ClaimExperiment, Finding, all_experiments
from loadtests.claims.measurements import Measurement
from loadtests.exit_codes import FINE, INTERRUPTED, NOT_MEASURABLE, Failure
from loadtests.processes import interrupts
from loadtests.run.controller import Observer
from loadtests.run.engine_process import EngineFailed
from loadtests.run.waiting import DeploymentFailed
from loadtests.schedules import ladder, why
from loadtests.storage import run_folder

PLANS = Path(__file__).parent / "plans"


class NoSuchClaim(Failure):
    """The message lists those there are."""


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What became of the experiments; `code` is 0, 3 (one has no verdict) or 130."""

    page: Path
    findings: Sequence[Finding]
    code: int


def chosen(names: str) -> list[ClaimExperiment]:
    """
    The experiments of these names, with commas between them; all of them for an empty text.

    Raises:
        NoSuchClaim: there is none of that name.
    """
    known = all_experiments()
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise NoSuchClaim(
                f"There is no statement {name!r}; there are {', '.join(known)}.{meant}"
            )
    return [known[name] for name in wanted or known]


def check(
    wanted: Sequence[ClaimExperiment],
    out: Path,
    observer: Observer,
    begins: Callable[[str], None],
    found: Callable[[Finding], None],
) -> ClaimOutcome:
    """
    Play the plans of the experiments, each once; Ctrl-C keeps what was found by then.

    Args:
        out: takes a folder with the page and the runs.
        begins: called with the name of each plan.
        found: called with each finding as soon as its plans are played.
    """
    folder = run_folder.make(out, "claims")
    seen: dict[str, Measurement | str] = {}
    findings: dict[str, Finding] = {}
    interrupted = False
    with interrupts.held() as held:
        try:
            with held.released():
                for name in dict.fromkeys(plan for one in wanted for plan in one.plans):
                    begins(name)
                    seen[name] = _played(name, wanted, folder, observer)
                    for one in wanted:
                        if one.name not in findings and seen.keys() >= set(one.plans):
                            findings[one.name] = one.finding(seen)
                            found(findings[one.name])
        except KeyboardInterrupt:
            interrupted = True
        ordered = [findings[one.name] for one in wanted if one.name in findings]
        played = {name: one for name, one in seen.items() if isinstance(one, Measurement)}
        with run_folder.writable(folder):
            written = page.write(ordered, played, folder)
    if interrupted or held.came:
        return ClaimOutcome(written, ordered, INTERRUPTED)
    decided = all(finding.verdict for finding in ordered)
    return ClaimOutcome(written, ordered, FINE if decided else NOT_MEASURABLE)


def plan_of(name: str) -> plans.Plan:
    """One of the plans that the experiments are judged by."""
    return plans.read(PLANS / f"{name}.toml")


def probed(name: str, wanted: Sequence[ClaimExperiment]) -> list[str]:
    """Return the deployments of a plan whose upstream these experiments make faster in turns."""
    asked = {deployment for one in wanted if name in one.plans for deployment in one.probed}
    return [deployment for deployment in plan_of(name).deployments if deployment in asked]


def _played(
    name: str, wanted: Sequence[ClaimExperiment], out: Path, observer: Observer
) -> Measurement | str:
    """Return what the plan showed, or why it showed nothing."""
    plan = plan_of(name)
    names = probed(name, wanted)
    try:
        outcome = session.run(plan, out, observer, [], why.why(plan, names) if names else ladder)
    except (DeploymentFailed, EngineFailed) as error:
        return str(error)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return Measurement(plan, outcome.run, records.read(outcome.folder))
