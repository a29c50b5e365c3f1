"""Whether a service meets its SLOs in a short run, for a test: what is played, and what is said."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from loadtests import plans, session
from loadtests.analysis.summary import sentence
from loadtests.exit_codes import DIED, FAILED
from loadtests.outcomes import Outcome
from loadtests.plans import Plan, PlanError
from loadtests.plans.errors import explain
from loadtests.plans.slos import Slo, parse
from loadtests.processes.interrupts import interruptible
from loadtests.results import Point, Run, SloResult
from loadtests.run.engine_process import EngineFailed
from loadtests.run.starter import RunningMock
from loadtests.run.waiting import DeploymentFailed
from loadtests.schedules import Step
from mock_upstream import Upstream
from mock_upstream.profiles.profile import ProfileError
from mock_upstream.units.durations import format_duration

SETTLE = 1.0  # seconds
NAME = "app"


class SloMissed(Exception):
    """An SLO was missed, or none could be checked; the message says why."""


class SloUndecided(Exception):
    """Whether the SLOs are met is not known; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TestContext:
    """The test that checks the SLO: its name, its root folder, and the folder for the run."""

    name: str
    root: Path
    out: Path
    marked: bool
    """Whether a marker says what the mock plays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SloCheck:
    """What a test said; None: nothing. See brownout.pytest_plugin.Brownout.holds."""

    slos: Sequence[str]
    deployment: Mapping[str, Any]
    path: str | None
    requests: Sequence[Mapping[str, Any]] | None
    settle: str | None
    measure: str | None
    plan: str | Path | None


def main() -> None:
    """
    Answer a question of brownout.pytest_plugin: JSON on standard input, the answer as one line.

    A process of its own: in that of a test suite `loadtests` can be a package of the project.
    """
    question = json.load(sys.stdin)
    asked, place = SloCheck(**question["asked"]), TestContext(**question["place"])
    place = replace(place, root=Path(place.root), out=Path(place.out))
    answer: dict[str, str] = {}
    try:
        with interruptible(until_exit=True):
            outcome = check(asked, Upstream(**question["upstream"]), place)
        answer = {"result": "met", "folder": str(outcome.folder)}
    except SloMissed as error:
        answer = {"result": "missed", "text": str(error)}
    except SloUndecided as error:
        answer = {"result": "unresolved", "text": str(error)}
    except KeyboardInterrupt:
        answer = {"result": "interrupted"}
    print(json.dumps(answer))


def check(asked: SloCheck, upstream: Upstream, place: TestContext) -> Outcome:
    """
    Return the run in which all SLOs were met. Its upstream is the mock that runs already.

    Raises:
        SloMissed: one was missed, or a deployment or the plan does not work.
        SloUndecided: none was missed, but one could not be decided.
        KeyboardInterrupt: the run was interrupted; what was measured is reported.
    """
    try:
        plan = planned(asked, upstream, place)
        if asked.plan is not None:
            upstream.configure(plan.upstream)
        upstream.reset()
        mock = RunningMock(upstream.url, upstream.control, upstream.pid)
        outcome = session.run(plan, place.out, _Silent(), [], lent=mock)
    except (PlanError, DeploymentFailed, ProfileError) as error:
        raise SloMissed(str(error)) from None
    except EngineFailed as error:
        raise SloUndecided(str(error)) from None
    if outcome.interrupted:
        raise KeyboardInterrupt
    return _judged(plan, outcome, asked.plan is not None)


class _Silent:
    """Sees the run and says nothing: the message at the end has it all."""

    def begins(self, step: Step, number: int, of: int, seconds_left: float) -> None: ...

    def measured(self, point: Point) -> None: ...

    def problem(self, text: str) -> None: ...


def planned(asked: SloCheck, upstream: Upstream, place: TestContext) -> Plan:
    """
    What is played: the levels are those at which the SLOs hold something.

    Raises:
        PlanError: something that cannot be, or that is missing.
    """
    slos = {f"slo-{number}": _slo(text) for number, text in enumerate(asked.slos, 1)}
    if asked.plan is not None:
        return _extended(asked, slos, place)
    if not slos:
        raise PlanError('holds() was given no SLO, such as "p95 < 200ms at 40"')
    levels = _levels(slos.values())
    if not levels:
        raise PlanError(f'at which level? Write "{next(iter(slos.values())).text} at 40"')
    if (asked.path is None) == (asked.requests is None):
        raise PlanError(
            'holds() needs path="/checkout", what is asked of the service, or in its place '
            'requests=[{"path": "/checkout", "method": "POST"}]'
        )
    deployment = {key: value for key, value in asked.deployment.items() if value is not None}
    if "command" in deployment:
        deployment["command"] = _of_this_environment(deployment["command"])
        deployment.setdefault("cwd", str(place.root))
    lengths = {"settle": asked.settle or format_duration(SETTLE), "measure": asked.measure}
    data = {
        "name": _folder_name(place.name),
        "upstream": upstream.profile(),
        "deployments": {deployment.get("variant", NAME): deployment},
        "requests": asked.requests or [{"path": asked.path}],
        "load": {"levels": levels, **{key: text for key, text in lengths.items() if text}},
        "slos": {name: slo.text for name, slo in slos.items()},
    }
    return _checked(data, place.root)


def _extended(asked: SloCheck, slos: Mapping[str, Slo], place: TestContext) -> Plan:
    """The plan of a file with these SLOs, too, at the levels that all of them need."""
    others = {
        "path": asked.path,
        "requests": asked.requests,
        "settle": asked.settle,
        "measure": asked.measure,
        **asked.deployment,
    }
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise PlanError(
            f"holds() was given a plan and {', '.join(given)}; a plan says all of that itself"
        )
    if place.marked:
        raise PlanError(
            "the test has a marker mock_upstream, and its plan an upstream; keep one of them"
        )
    file = place.root / str(asked.plan)
    plan = plans.read(file if os.path.isfile(file) else plans.find(str(asked.plan)))
    taken = {**{f"test-{name}": slo for name, slo in slos.items()}, **plan.slos}
    if not taken:
        raise PlanError(f"neither the test nor {asked.plan} has an SLO, such as p95 < 200ms at 40")
    levels = _levels(taken.values())
    if any(slo.level is None for slo in taken.values()):  # of the knee, or of every level
        levels = sorted({*levels, *plan.load.levels})
    return _checked(
        {
            **dict(plan),
            "load": plan.load.model_copy(update={"levels": tuple(levels)}),
            "slos": {name: slo.text for name, slo in taken.items()},
        },
        place.root,
    )


def _slo(text: str) -> Slo:
    try:
        return parse(text)
    except ValueError as error:
        raise PlanError(str(error)) from None


def _levels(slos: Iterable[Slo]) -> list[int]:
    return sorted({slo.level for slo in slos if slo.level is not None})


def _checked(data: Mapping[str, Any], folder: Path) -> Plan:
    try:
        return Plan.model_validate(data, context={"folder": folder})
    except ValidationError as error:
        raise explain(error, Plan, data) from None


def _of_this_environment(command: Any) -> Any:
    """The command, its program by its path if it lies in the same folder as this Python."""
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
        program = Path(sys.executable).with_name(words[0])
    except (TypeError, ValueError, IndexError):
        return command  # refused as it stands
    if "/" in words[0] or words[0] == "python" or not os.path.isfile(program):
        return command
    if isinstance(command, str) and command.startswith(words[0]):
        return shlex.quote(str(program)) + command[len(words[0]) :]
    return [str(program), *words[1:]]


def _folder_name(test: str) -> str:
    """A test's name, less what no plan's name may hold."""
    kept = "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in test)
    return kept.lstrip("_.-")[:60] or "test"


def _judged(plan: Plan, outcome: Outcome, from_file: bool) -> Outcome:
    run = outcome.run
    missed = [slo for slo in run.slos if slo.status == "missed"]
    open_ones = [slo for slo in run.slos if slo.status == "unresolved"]
    told = [f"{slo.text} is missed{_by(run, slo)}: {slo.why}" for slo in missed]
    told += [
        f"{slo.text} is unresolved{_by(run, slo)}: {slo.why}{_way_out(plan, run, slo, from_file)}"
        for slo in open_ones
    ]
    page = outcome.folder / "report.html"
    text = "\n".join(
        [
            *told,
            *run.problems,
            *(sentence(run, name) for name in plan.deployments),
            *([f"The report: {page}"] if page.is_file() else []),
        ]
    )
    if missed or outcome.exit_code() in (DIED, FAILED):
        raise SloMissed(text)
    if open_ones or run.status != "complete":
        raise SloUndecided(text)
    return outcome


def _by(run: Run, slo: SloResult) -> str:
    return f" by {slo.deployment}" if len(run.deployments) > 1 else ""


def _way_out(plan: Plan, run: Run, result: SloResult, from_file: bool) -> str:
    """What a test may do to have it decided; begins with a space."""
    slo = plan.slos[result.name]
    if slo.metric == "knee":
        return " A plan with more levels, some of them beyond the knee, decides it."
    if result.measure is not None:
        found = format_duration(result.measure)
        where = f'[load] measure = "{found}" in the plan' if from_file else f'measure="{found}"'
        return f" So say {where}."
    measured = any(point.level == slo.level for point in run.of(result.deployment))
    if measured and not result.valid:
        return " So nothing is known of the service: run the test where nothing else is at work."
    return ""


if __name__ == "__main__":
    main()
