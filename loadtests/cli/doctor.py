"""Try a plan without a run: `brownout doctor`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from loadtests.cli.options import AsJson, Deployments, NoTelemetry, PlanArgument, Quiet
from loadtests.cli.output import mistakes, note, print_json, print_lines, print_problem, use
from loadtests.cli.playing import plan_with
from loadtests.exit_codes import DIED, FAILED, FINE

if TYPE_CHECKING:
    from loadtests.plans import Plan
    from loadtests.session import Examination


def doctor(
    plan: PlanArgument = None,
    deployments: Deployments = "",
    no_telemetry: NoTelemetry = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """
    Try a plan without a run: start it, send each request once, and suggest levels.

    Nothing is measured and no run is saved.

    Exit code 0: every request is answered as the plan expects, and the upstream is called; 1: one
    is not; 2: the plan is wrong; 4: a deployment did not start, or ended.
    """
    with mistakes():
        use(quiet=quiet, as_json=as_json)
        from loadtests.cli import ping_lines

        chosen = plan_with(plan, no_telemetry, deployments=deployments)
        found = _examined(chosen)
        note(*ping_lines.answers(chosen, found.pings))
        print_lines(_suggested(chosen, found))
        problems = [*ping_lines.problems(found.pings), *found.dead.values()]
        for text in problems:
            print_problem(text)
        if not problems:
            print_lines(["No problem was found."])
            if chosen.locustfile is not None:
                text = (
                    "Its tasks were not tried: brownout run with --levels 1 --measure 2s does that."
                )
                print_lines([text])
        elif len(problems) > 1:
            print_lines([f"{len(problems)} problems were found."])
        code = DIED if found.dead else FINE if found.pings.fine else FAILED
        print_json(_values(found, problems, code))
    raise typer.Exit(code)


def _examined(plan: Plan) -> Examination:
    """What was found; the folder with the logs stays only where a message names it."""
    from loadtests import session
    from loadtests.run.waiting import DeploymentFailed

    folder = Path(tempfile.mkdtemp(prefix="brownout-doctor-"))
    kept = False
    try:
        logs = folder / "doctor"  # what earlier runs left is looked for in its parent
        logs.mkdir()
        found = session.examine(plan, logs)
        kept = bool(found.dead) or any(one.last_words for one in found.pings.sent)
    except DeploymentFailed as error:
        kept = str(folder) in str(error)
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _values(found: Examination, problems: list[str], code: int) -> dict[str, Any]:
    """What --json prints, described in docs/formats.md."""
    suggestion = found.suggestion
    return {
        "exit_code": code,
        "requests": [
            {
                "deployment": one.deployment,
                "request": one.spec.name,
                "status": one.reply.status,
                "size": one.reply.size,
                "first_byte": one.reply.first_byte,
                "upstream_calls": one.calls.arrivals if one.calls else None,
                "fine": one.problem is None,
            }
            for one in found.pings.sent
        ],
        "suggested": {
            "levels": suggestion.levels,
            "measure": suggestion.measure,
            "at": suggestion.at,
        }
        if suggestion
        else None,
        "problems": problems,
    }


def _suggested(plan: Plan, found: Examination) -> Iterator[str]:
    from loadtests.analysis.numbers import duration
    from loadtests.analysis.short_windows import mean_latency
    from loadtests.plans import UrlDeployment

    suggestion = found.suggestion
    if not all(isinstance(one, UrlDeployment) for one in plan.deployments.values()):
        yield f"The mock upstream answers in {duration(mean_latency(plan))} on average."
    if suggestion is None:
        yield "Levels are suggested once the requests are answered as the plan expects."
        return
    yield from suggestion.why
    yield "Suggested:"
    yield "  [load]"
    yield f"  levels = [{', '.join(map(str, suggestion.levels))}]"
    length = f'measure = "{suggestion.measure:g}s"'
    if suggestion.needed:
        yield f"  {length}  # the least for p95 at {suggestion.at}"
    else:
        yield f"  # no measure: each level takes what it needs, 3 to 20 s; fixed: {length}"
    yield f"For brownout compare: --at {suggestion.at}"
