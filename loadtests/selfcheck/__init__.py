"""Does this machine, with this tool, tell the truth? Real runs, known truths, two minutes."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from loadtests.run.controller import Observer
from loadtests.run.engine_process import EngineFailed
from loadtests.run.waiting import DeploymentFailed
from loadtests.selfcheck import ceilings, distribution, generator, pair, stall
from loadtests.selfcheck.bench import Bench, RunFailed
from loadtests.selfcheck.findings import Findings, not_measured, sentence, table

__all__ = ["CHECKS", "Findings", "check", "sentence", "table"]

CHECKS: tuple[ModuleType, ...] = (stall, ceilings, distribution, pair, generator)


def check(out: Path, observer: Observer, begins: Callable[[str], None]) -> Findings:
    """
    Play all checks, one after the other; a run of each stays in `out`.

    Args:
        begins: called with the title of each check.

    Raises:
        KeyboardInterrupt: Ctrl-C; nothing is left running.
    """
    bench = Bench(out, observer)
    found = Findings()
    for module in CHECKS:
        begins(module.TITLE)
        try:
            found += module.check(bench)
        except (RunFailed, DeploymentFailed, EngineFailed) as error:
            found += Findings((not_measured(module.TITLE, "a measurement", str(error)),))
    return found
