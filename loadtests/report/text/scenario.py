"""What is shown of a locustfile: requests in flight where users are not as many, events apart."""

from collections.abc import Sequence

from loadtests.report.text import numbers
from loadtests.results import EventsApart, Point, Run

AS_MANY = 0.05  # by which requests in flight may differ from users, and need no column
FAST = 0.25  # ... of a plan's requests: between fast answers the client's own work counts
MOST = 24  # rows of events; of more, those of the highest level of each deployment
NOTE = (
    "Events of the locustfile that are no requests of its tasks, and are in no other number; "
    "p50 and p95 of the response_time that it reported, in ms if it is a time."
)


def flying(points: Sequence[Point]) -> bool:
    """Whether requests in flight need a column: they are not as many as the users."""
    return any(
        point.model == "closed"
        and point.in_flight is not None
        and point.seconds > 0
        and abs(point.in_flight / point.level - 1) > (AS_MANY if point.users else FAST)
        for point in points
        if point.request == "all"
    )


def in_flight(number: float | None) -> str:
    """Requests in flight, e.g. "10.4"; a dash where that is not known, or users are as many."""
    return numbers.MISSING if number is None else numbers.level(number)


def apart(run: Run) -> list[EventsApart]:
    """The events that are shown, in their order."""
    found = run.apart
    if len(found) > MOST:
        top: dict[str, int] = {}
        for one in found:
            top[one.deployment] = max(top.get(one.deployment, 0), one.level)
        found = [one for one in found if one.level == top[one.deployment]][:MOST]
    return sorted(found, key=lambda one: (one.kind, one.name, one.level))


def event(one: EventsApart) -> str:
    """E.g. "on_start: /login", "background: /poll", "METRIC: tokens"."""
    kind = one.request_type if one.kind == "timing" else one.kind
    return f"{kind}: {one.name}" if one.name else kind


def value(one: EventsApart, name: str) -> str:
    """A quantile as it was reported."""
    found = one.values.get(name)
    return numbers.MISSING if found is None else numbers.level(found)
