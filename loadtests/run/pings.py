"""
One request of each kind to each deployment, one at a time, before anything is measured.

The mock's ledger is read between two of them, so that it is known which request made which calls.
Afterwards the mock begins again: a run finds its draws, timeline and counts as they are at a start.
"""

import json
import re
import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from loadtests import tls
from loadtests.plans import CommandDeployment, Plan, UrlDeployment
from loadtests.plans.deployments import Deployment
from loadtests.recording.messages import RequestSpec
from loadtests.run import reply_check
from loadtests.run.deployments import Fleet
from loadtests.run.ping import PingReply, send
from loadtests.samples.mock import LedgerReader
from mock_upstream.client import Upstream
from mock_upstream.profiles.profile import Profile

IN_A_RUN = 3.0
"""Seconds that a run waits for all of them; `brownout doctor` waits for each."""
_LATE_CALL = 0.05  # seconds in which a call that the service still makes can arrive
_MOST = 3  # requests without a route that are named


@dataclass(frozen=True, slots=True)
class UpstreamCalls:
    """What a request made arrive at the upstream. `unmatched`: no route of the profile has them."""

    arrivals: int
    answers: dict[int, int]
    """By status."""
    unmatched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    """A request, what came back, and what arrived at the upstream meanwhile (None: not known)."""

    deployment: str
    spec: RequestSpec
    reply: PingReply
    calls: UpstreamCalls | None
    problem: str | None
    """A sentence without a subject, and the way out; None: the answer is what the plan expects."""
    last_words: str = ""
    """Of the service's log, where it failed; begins with a line end."""


@dataclass(frozen=True, slots=True)
class Pings:
    """`left`: how many were not sent, as the time was over."""

    sent: tuple[Ping, ...]
    left: int
    problems: tuple[str, ...]
    """What is wrong with a deployment as a whole."""

    @property
    def fine(self) -> bool:
        return not self.problems and not any(one.problem for one in self.sent)


def send_all(plan: Plan, fleet: Fleet, seconds: float | None = None) -> Pings:
    """
    Send each request of the plan to each of its deployments.

    Args:
        seconds: for all together; None: each may take as long as the plan permits.
    """
    deadline = None if seconds is None else monotonic() + seconds
    specs = [request.spec() for request in plan.requests]
    sent: list[Ping] = []
    left = 0
    with closing(LedgerReader(fleet.mock.control)) as ledger:
        for name in plan.deployments:
            if name not in fleet.deployments:
                continue
            for spec in specs:
                over = None if deadline is None else deadline - monotonic()
                if over is not None and over <= 0:
                    left += 1
                    continue
                sent.append(_ping(plan, fleet, name, spec, ledger, over))
    with suppress(RuntimeError):  # the run reports a mock that has ended
        Upstream(fleet.mock.url, fleet.mock.control, fleet.mock.owner, fleet.mock.pid).reset()
    return Pings(tuple(sent), left, tuple(without_calls(plan, sent)))


def expects_calls(plan: Plan, name: str) -> bool:
    """Whether the deployment is meant to call the mock: it is told its URL, or it must be."""
    deployment = plan.deployments[name]
    if isinstance(deployment, UrlDeployment):
        return False
    # A comparison sets how delays are drawn, whatever the plan says of the upstream.
    return knows_the_mock(deployment) or plan.upstream != Profile(sampling=plan.upstream.sampling)


def knows_the_mock(deployment: Deployment) -> bool:
    """Whether the deployment is started with the URL of the mock."""
    if not isinstance(deployment, CommandDeployment):
        return not isinstance(deployment, UrlDeployment)
    return "{upstream}" in deployment.model_dump_json(include={"command", "env"})


def no_calls(plan: Plan, name: str) -> str:
    """The sentences about a deployment whose requests made no call at the upstream."""
    deployment = plan.deployments[name]
    start = f"{name}: no call came to the mock upstream"
    if not isinstance(deployment, CommandDeployment):
        return f"{start}."
    if not knows_the_mock(deployment):
        return (
            f"{start}, and neither command nor env contains {{upstream}}, the mock's URL. If the "
            "service reads the URL of its upstream from a variable, add "
            'env = { NAME = "{upstream}" }.'
        )
    variables = [key for key, text in deployment.env.items() if "{upstream}" in text]
    named = f" the variable {' or '.join(variables)}" if variables else " the option of its command"
    return (
        f"{start}. So its upstream takes no part in what is measured. Does the service read"
        f"{named}, spelt like this, and do these requests call the upstream?"
    )


def without_calls(plan: Plan, sent: Sequence[Ping]) -> Iterator[str]:
    """Sentences about deployments whose requests were all sent and made no call."""
    for name in plan.deployments:
        own = [one for one in sent if one.deployment == name]
        known = [one.calls for one in own if one.calls is not None and _is_over(one)]
        none = len(known) == len(own) > 0 and not any(calls.arrivals for calls in known)
        if none and expects_calls(plan, name):
            yield no_calls(plan, name)


def _is_over(ping: Ping) -> bool:
    """Whether it was sent, and not given up sooner than the plan says: it may call later."""
    reply = ping.reply
    return reply.arrived and not (reply.timed_out and ping.problem is None)


def _ping(
    plan: Plan,
    fleet: Fleet,
    name: str,
    spec: RequestSpec,
    ledger: LedgerReader,
    seconds: float | None,
) -> Ping:
    url = fleet.deployments[name].url.rstrip("/")
    timeout = spec.timeout if seconds is None else min(spec.timeout, seconds)
    before = ledger.read()
    reply = send(url, spec, timeout, context_of(plan.deployments[name]))
    calls = _calls(before, ledger.read())
    if (
        calls is not None
        and not calls.arrivals
        and reply.status is not None
        and expects_calls(plan, name)
    ):
        sleep(_LATE_CALL)
        calls = _calls(before, ledger.read())
    paths = _paths(url, context_of(plan.deployments[name])) if reply.status == 404 else ()
    cut = reply.timed_out and timeout < spec.timeout  # the load generator waits for longer
    problem = None if cut else reply_check.problem(url, spec, reply, paths)
    failed = problem is not None and (reply.status is None or reply.status >= 500)
    if problem is None and calls is not None and calls.unmatched:
        problem = (
            f"calls {', '.join(calls.unmatched)} at the upstream, for which no route of the plan "
            "is made, so the mock answers 404. Add [[upstream.routes]] for it."
        )
    words = fleet.failure_words(name) if failed else ""
    return Ping(name, spec, reply, calls, problem, words)


def context_of(deployment: Deployment) -> ssl.SSLContext | None:
    """Return how the certificate of a deployment is checked; None: it has none."""
    if not isinstance(deployment, CommandDeployment | UrlDeployment):
        return None
    ca = str(deployment.ca) if deployment.ca else None
    context: ssl.SSLContext = tls.context(tls.planned(deployment.verify, ca), ca)
    return context


def _calls(before: Any, after: Any) -> UpstreamCalls | None:
    """What arrived between two readings of the ledger; None: they cannot be read."""
    try:
        if any(before[key] != after[key] for key in ("epoch", "generation")):
            return None
        answers = Counter({int(key): int(n) for key, n in after["answers"].items()})
        answers.subtract({int(key): int(n) for key, n in before["answers"].items()})
        strays = int(after["unmatched"]) - int(before["unmatched"])
        recent = after["recent_unmatched"][-strays:] if strays > 0 else []
        names = dict.fromkeys(f"{one['method']} {one['path']}" for one in recent)
        return UpstreamCalls(
            int(after["arrivals"]) - int(before["arrivals"]),
            {status: count for status, count in sorted(answers.items()) if count},
            tuple(names)[:_MOST],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _paths(url: str, context: ssl.SSLContext | None) -> tuple[str, ...]:
    """The paths of the service's OpenAPI document; empty where it has none."""
    spec = RequestSpec(name="openapi", method="GET", path="/openapi.json", weight=1, timeout=1)
    root = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    reply = send(root, spec, 1.0, context)
    try:
        paths = json.loads(reply.body)["paths"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(path for path in paths if isinstance(path, str) and re.match("/", path))
