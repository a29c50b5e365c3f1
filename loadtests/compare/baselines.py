"""A saved run that a new one is judged by: checked before it, compared after it, kept with it."""

import tomllib
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from loadtests import environment, foreign_files, plans, results
from loadtests.analysis.verdicts import stored
from loadtests.analysis.verdicts.stored import MARGIN
from loadtests.compare.differences import differences
from loadtests.compare.saved_runs import (
    Comparison,
    NotComparable,
    check_alike,
    check_common,
    compare,
    paired,
)
from loadtests.processes.affinity import Cores
from loadtests.results import Result, Run, UnreadableRun
from mock_upstream.units.documents import from_json

FORMAT: Final = "brownout-baseline/1"
FILE = "baseline.json"


class Baseline(Result):
    """
    A run, and how another one is compared with it: A is the baseline. `baseline.json` of a run's
    folder.

    `level` decides, `margin` is the change that does not matter (see analysis.stored). `anyway`:
    what the two are unlike in is known.
    """

    format: Literal["brownout-baseline/1"] = FORMAT
    level: int | None = None
    margin: float = MARGIN
    anyway: bool = False
    run: Run

    def compared(self, run: Run) -> Comparison:
        """
        The run as B against the baseline. What turned out to be unlike after all, an interruption
        for example, makes the verdicts INVALID unless it is known.
        """
        found = compare(self.run, run, self.level, self.margin)
        if self.anyway or not found.differences:
            return found
        why = f"The baseline is not alike: {'; '.join(found.differences)}."
        pairs = [
            pair.model_copy(update={"verdict": stored.invalid(pair.verdict, why)})
            for pair in found.pairs
        ]
        return found.model_copy(update={"pairs": pairs})


def chosen(
    path: Path, plan: plans.Plan, *, level: int | None, margin: float, anyway: bool
) -> Baseline:
    """
    The run in a folder as the baseline of the plan, played here and now.

    Raises:
        UnreadableRun: there is none.
        NotComparable: it holds nothing valid of the plan's deployments, or not at the level, or the
            two would not be alike and nobody said `anyway`.
    """
    run = results.read(path)
    ahead = Run(
        id="",
        name=plan.name,
        started="",
        environment=environment.facts(plan.seed) | {"cores_used": Cores.here().described()},
        plan=tomllib.loads(plans.to_toml(plan)),
    )
    known = run.names
    check_common(known, [*plan.deployments])
    check_alike(differences(run, ahead), anyway)
    levels = {
        point.level
        for name, _ in paired(known, [*plan.deployments])
        for point in run.of(name)
        if point.valid
    } & {*plan.load.levels}
    if not levels or (level is not None and level not in levels):
        what = "No level of the plan" if level is None else f"{level} is not a level that"
        there = ", ".join(map(str, sorted(levels))) or "none"
        raise NotComparable(
            f"{what} was measured validly in the baseline {run.id}; those of the plan that were: "
            f"{there}."
        )
    return Baseline(level=level, margin=margin, anyway=anyway, run=run)


def to_json(baseline: Baseline) -> str:
    return baseline.model_dump_json(indent=1) + "\n"


def kept(folder: Path) -> Baseline | None:
    """
    The baseline that was kept in a run's folder, if there is one.

    Raises:
        UnreadableRun: it is not of this format.
    """
    file = folder / FILE
    try:
        return Baseline.model_validate(from_json(foreign_files.text(file)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UnreadableRun(f"{file} cannot be read: {why}") from error


def judged(run: Run, folder: Path) -> tuple[Run, Comparison | None]:
    """
    The run with the verdicts by the baseline in its folder, and the comparison; as it is without.

    Raises:
        UnreadableRun: the baseline cannot be read.
    """
    baseline = kept(folder)
    if baseline is None:
        return run, None
    found = baseline.compared(run)
    return run.model_copy(update={"verdicts": [*run.verdicts, *found.verdicts]}), found
