"""What is said of a deployment after a stage, once: that it fails and why, or calls no upstream."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtests.analysis.checks.generator import OWN_FAILURES
from loadtests.analysis.numbers import load, percent
from loadtests.plans import Plan
from loadtests.recording.messages import Usage
from loadtests.results import Point
from loadtests.run.pings import expects_calls, no_calls

FAILING = 0.1
"""Share of requests that failed, from which on the log of a service is quoted."""


@dataclass(frozen=True, slots=True)
class ServiceRemark:
    """`now`: it is printed at once, and not only with the results."""

    text: str
    now: bool = True


class ServiceRemarks:
    """Watches the stages of a run; each remark is made once for a deployment."""

    def __init__(self, plan: Plan, failure_words: Callable[[str, bool], str]) -> None:
        """
        Args:
            failure_words: gives what a deployment's log says of its failures; True: exceptions
                alone, as the log of a service that refuses requests is full of them.
        """
        self._plan, self._failure_words = plan, failure_words
        self._failing = set[str]()
        self._answered = set[str]()

    def after(self, point: Point, usage: Usage | None) -> Iterator[ServiceRemark]:
        """
        Args:
            point: of all requests of the stage.
            usage: of the stage; None: not read.
        """
        name, errors = point.deployment, point.errors
        if errors.rate >= FAILING and name not in self._failing:
            self._failing.add(name)
            refusals = all(
                re.fullmatch(r"[34]\d\d( to .*)?|unexpected content|HTML page", kind)
                for kind in errors.kinds
            )
            if words := self._failure_words(name, refusals):
                kinds = ", ".join(
                    f"{kind}: {count}" for kind, count in sorted(errors.kinds.items())
                )
                yield ServiceRemark(
                    f"{name} fails {percent(errors.rate)} of its requests at "
                    f"{load(point.level, point.model)} ({kinds}).{words}"
                )
        sent = point.requests - sum(errors.kinds.get(kind, 0) for kind in OWN_FAILURES)
        if sent and name not in self._answered and usage and usage.calls is not None:
            self._answered.add(name)
            if not usage.calls and expects_calls(self._plan, name):
                # Requests of a plan were tried before the run, and this was said then.
                yield ServiceRemark(
                    no_calls(self._plan, name), now=self._plan.locustfile is not None
                )
