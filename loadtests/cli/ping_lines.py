"""What services answered to one request of each kind, as lines of a terminal."""

from collections.abc import Iterator

from loadtests.analysis.numbers import duration
from loadtests.characters import printable
from loadtests.plans import Plan
from loadtests.redaction import masked
from loadtests.run.pings import Ping, Pings, UpstreamCalls

MOST = 12
"""Requests that are listed; of more, those with a problem alone."""
_UNITS = ("B", "kB", "MB", "GB")


def answers(plan: Plan, pings: Pings) -> Iterator[str]:
    """What came back, a line for each request."""
    if plan.locustfile is not None:
        yield f"The requests are those of {plan.locustfile.name}: none is tried before the run."
        return
    width = max((len(one.deployment) for one in pings.sent), default=0)
    if len(pings.sent) > MOST:
        good = sum(not one.problem for one in pings.sent)
        yield f"{good} of {len(pings.sent)} requests are answered as the plan expects."
    else:
        for one in pings.sent:
            yield f"{one.deployment:{width}}  {described(one)}"
    if pings.left:
        yield (
            f"{pings.left} more requests were not tried, to start the run in time; brownout doctor "
            "tries all of them."
        )


def problems(pings: Pings) -> Iterator[str]:
    """What is wrong, with the way out; the end of a service's log follows where it failed."""
    for one in pings.sent:
        if one.problem:
            text = f"{one.deployment}: {one.spec.name}: the service {one.problem}{one.last_words}"
            yield printable(masked(text))
    yield from pings.problems


def described(ping: Ping) -> str:
    """Status, redirect target, size, time to the first byte, and what came to the upstream."""
    reply = ping.reply
    parts = [f"{ping.spec.name}: {reply.error if reply.status is None else reply.status}"]
    if reply.status is not None:
        if 300 <= reply.status < 400 and "location" in reply.headers:
            parts[0] += f" to {reply.headers['location']}"
        parts.append(_size(reply.size))
        if reply.first_byte is not None:
            parts.append(f"first byte after {duration(reply.first_byte)}")
        if reply.error:
            parts.append(reply.error)
    if ping.calls is not None:
        parts.append(_calls(ping.calls))
    return printable(masked(", ".join(parts)))


def _calls(calls: UpstreamCalls) -> str:
    if not calls.arrivals:
        return "no upstream call"
    answers = ", ".join(
        str(status) if count == calls.arrivals else f"{status}: {count}"
        for status, count in calls.answers.items()
    )
    counted = "1 upstream call" if calls.arrivals == 1 else f"{calls.arrivals} upstream calls"
    return f"{counted} ({answers or 'not answered'})"


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.3g} {unit}"
