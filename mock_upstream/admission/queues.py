"""
c servers behind one bounded queue: why an upstream gets slow under load, and where it ends.

Everything is computed in virtual time, from the arrivals and service times handed in: a late
wake-up of the event loop delays the answer it belongs to, and never the ones behind it.

    station = open_station(capacity, call_at)
    slot = station.enter(exchange.arrival, service)
    if slot is None:                    # refused: `capacity.overflow` says what it gets
    slot.moved = wake                   # called whenever `start` and `due` became known or changed
    # sleep until slot.due; again when woken; until woken alone as long as it is None
    station.leave(slot)                 # at its due time
    station.abandon(slot, monotonic())  # instead, when the client went away before
"""

import heapq
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from mock_upstream.admission.capacity import ServerCapacity

CallAt = Callable[[float, Callable[[], None]], object]
"""Calls a function once a time, in monotonic seconds, has come."""


def open_station(capacity: ServerCapacity, call_at: CallAt | None = None) -> "Station":
    """
    The servers, idle, and the queue, empty.

    Without `call_at` it has no clock of its own: where work is released, a request that waits then
    depends on a prompt `leave` of those ahead, even while they upload or send a long body.
    """
    if capacity.on_disconnect == "keep":
        return RunToCompletionQueue(capacity)
    return CancelOnDisconnectQueue(capacity, call_at)


class Reservation:
    """One request at the station. Times are monotonic seconds."""

    __slots__ = ("due", "gone", "moved", "service", "start")

    def __init__(self, service: float) -> None:
        self.service = service
        """Seconds asked for, before any slowdown."""
        self.start: float | None = None
        """When a server turns to it; None: not known yet."""
        self.due: float | None = None
        """When it has been served; None: not known yet."""
        self.gone: float | None = None
        """When its client went away."""
        self.moved: Callable[[], None] | None = None
        """Called when start and due became known or changed. It must not call the station."""


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """
    A station at one moment; counts and seconds are those since it was made.

    busy_seconds - unanswered_seconds is the work whose answers were still wanted.
    """

    servers: int
    busy: int
    """Servers at work; above `servers` for a while after their number was lowered."""
    waiting: int
    waiting_peak: int
    """Since the start, or since the peak was last reset."""
    admitted: int
    refused: int
    abandoned: int
    """Of the admitted: those whose client went away before they were served."""
    busy_seconds: float
    """That servers have worked."""
    unanswered_seconds: float
    """Of them: on requests whose client has gone, before or after it went."""
    wasted_seconds: float
    """Of them: after the client had gone. A CancelOnDisconnectQueue has none."""


class Station(ABC):
    """
    c servers in front of one FIFO queue.

    Times may not go back; one that does counts as the latest seen, so that requests are served
    in the order in which they enter. So a request that is still on the way enters when it gets
    here, not before with a time to come: that would hold up all that are here already.
    To drop everybody, make a new station: slots of the old one stay harmless.
    """

    def __init__(self, capacity: ServerCapacity) -> None:
        self.capacity = capacity
        self._now = float("-inf")  # the latest time seen
        self._waiting_peak = 0
        self._admitted = 0
        self._refused = 0
        self._abandoned = 0

    @abstractmethod
    def enter(self, arrival: float, service: float) -> Reservation | None:
        """A request that needs a server for `service` seconds; None: the queue is full."""

    @abstractmethod
    def leave(self, slot: Reservation) -> None:
        """Its due time has come; the request that waits for its server is woken."""

    @abstractmethod
    def abandon(self, slot: Reservation, now: float) -> None:
        """Its client has gone away. Nothing changes for one that was served, or told before."""

    @abstractmethod
    def adopt(self, capacity: ServerCapacity, now: float) -> None:
        """
        Go on with other settings.

        Requests in service end as they would have, on servers that are no more as well; those
        that wait keep their order and their places, even if the queue is shorter now.

        Raises:
            ValueError: `on_disconnect` is another; that takes a new station.
        """

    @abstractmethod
    def load(self, now: float, reset_peak: bool = False) -> QueueLoad:
        """What it is doing; `reset_peak` lets the peak start again from who waits now."""

    def _check(self, capacity: ServerCapacity) -> None:
        if capacity.on_disconnect != self.capacity.on_disconnect:
            raise ValueError(
                f"a station that started with on_disconnect = {self.capacity.on_disconnect!r} "
                f"cannot change to {capacity.on_disconnect!r}; make a new one"
            )

    def _duration(self, service: float, busy: int) -> float:
        """The duration of a service that starts as one of `busy`."""
        return service * self.capacity.slowdown.factor(busy)


class RunToCompletionQueue(Station):
    """
    The server does not notice that a client has gone: what was admitted will be served.

    So the whole future is known when a request enters, and a heap of the times at which the
    servers will be free holds it (Kiefer and Wolfowitz's workload, 1955, with ends for rests).
    """

    def __init__(self, capacity: ServerCapacity) -> None:
        super().__init__(capacity)
        self._ends: list[float] = []
        """A heap: of each busy server, the end of the last request planned for it."""
        self._leaving: list[float] = []
        """The same of servers that stop then, there being too many."""
        self._planned: deque[Reservation] = deque()
        """In order of start; those to come, after some that have started."""
        self._committed = 0.0  # seconds of service planned so far
        self._abandonments: list[Reservation] = []
        """Not counted yet, since they are not served yet."""
        self._abandonments_most = 64
        self._unanswered = 0.0
        self._wasted = 0.0

    def enter(self, arrival: float, service: float) -> Reservation | None:
        if arrival > self._now:
            self._now = arrival
        now, ends = self._now, self._ends
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        if len(ends) >= self.capacity.servers:
            planned = self._planned
            while planned and _start(planned[0]) <= now:
                planned.popleft()
            if len(planned) >= self.capacity.queue:
                self._refused += 1
                return None
        self._admitted += 1
        slot = Reservation(service)
        self._plan(slot)
        return slot

    def leave(self, slot: Reservation) -> None:
        pass

    def abandon(self, slot: Reservation, now: float) -> None:
        if slot.gone is not None or _due(slot) <= now:
            return
        slot.gone = now
        self._abandoned += 1
        self._abandonments.append(slot)
        if len(self._abandonments) > self._abandonments_most:
            self._count_abandonments(now)
            self._abandonments_most = 2 * len(self._abandonments) + 64

    def adopt(self, capacity: ServerCapacity, now: float) -> None:
        self._check(capacity)
        self.capacity = capacity
        now = self._now = max(now, self._now)
        waiting = [slot for slot in self._planned if _start(slot) > now]
        # Each of those waiting took the end of a server out of the heap and put its own there.
        ends = Counter(self._ends)
        ends.update(_start(slot) for slot in waiting)
        ends.subtract(_due(slot) for slot in waiting)
        running = sorted(end for end in (*ends.elements(), *self._leaving) if end > now)
        excess = max(len(running) - capacity.servers, 0)
        self._leaving, self._ends = running[:excess], running[excess:]
        self._planned.clear()
        for slot in waiting:
            start, due = slot.start, slot.due
            self._committed -= _due(slot) - _start(slot)
            self._plan(slot)
            if (slot.start, slot.due) != (start, due) and slot.moved:
                slot.moved()

    def load(self, now: float, reset_peak: bool = False) -> QueueLoad:
        now = max(now, self._now)
        rests = [end - now for end in (*self._ends, *self._leaving) if end > now]
        waiting = sum(_start(slot) > now for slot in self._planned)
        self._count_abandonments(now)
        # Of those being served: what has been spent until now.
        spent = [slot for slot in self._abandonments if _start(slot) < now]
        load = QueueLoad(
            servers=self.capacity.servers,
            busy=len(rests),
            waiting=waiting,
            waiting_peak=self._waiting_peak,
            admitted=self._admitted,
            refused=self._refused,
            abandoned=self._abandoned,
            busy_seconds=self._committed - sum(rests),
            unanswered_seconds=self._unanswered + sum(now - _start(slot) for slot in spent),
            wasted_seconds=self._wasted + sum(_wasted(slot, now) for slot in spent),
        )
        if reset_peak:
            self._waiting_peak = waiting
        return load

    def _plan(self, slot: Reservation) -> None:
        now, ends, servers = self._now, self._ends, self.capacity.servers
        while ends and ends[0] <= now:
            heapq.heappop(ends)
        if len(ends) < servers:
            start = now
            duration = self._duration(slot.service, len(ends) + 1)
            heapq.heappush(ends, start + duration)
        else:
            # It follows the request that ends first; since it waited, all servers are at work.
            start = ends[0]
            duration = self._duration(slot.service, servers)
            heapq.heapreplace(ends, start + duration)
            self._planned.append(slot)
            if len(self._planned) > self._waiting_peak:
                self._waiting_peak = len(self._planned)
        slot.start, slot.due = start, start + duration
        self._committed += duration

    def _count_abandonments(self, now: float) -> None:
        pending = []
        for slot in self._abandonments:
            due = _due(slot)
            if due > now:
                pending.append(slot)
            else:
                self._unanswered += due - _start(slot)
                self._wasted += _wasted(slot, due)
        self._abandonments = pending


class CancelOnDisconnectQueue(Station):
    """
    The server drops its work when the client goes away, and takes the next in line at that moment.

    Who starts when depends on who gives up, so a request that waits learns its start when it
    comes: by an alarm, or before it rings by what another does.
    """

    def __init__(self, capacity: ServerCapacity, call_at: CallAt | None = None) -> None:
        super().__init__(capacity)
        self._call_at = call_at
        self._alarm = float("inf")
        """The next, set while somebody waits; one that was set for another time is ignored."""
        self._running: list[tuple[float, int, Reservation]] = []
        """A heap by due time; with slots that were abandoned, which count no more."""
        self._order = count()  # breaks ties: slots have no order
        self._busy = 0
        self._waiting: OrderedDict[Reservation, None] = OrderedDict()
        self._ended = 0.0  # seconds of service, of those that are over
        self._unanswered = 0.0

    def enter(self, arrival: float, service: float) -> Reservation | None:
        self._advance(arrival)
        if self._busy < self.capacity.servers:
            slot = Reservation(service)
            self._start(slot, self._now)
        elif len(self._waiting) < self.capacity.queue:
            slot = Reservation(service)
            self._waiting[slot] = None
            if len(self._waiting) > self._waiting_peak:
                self._waiting_peak = len(self._waiting)
            self._set_alarm()
        else:
            self._refused += 1
            return None
        self._admitted += 1
        return slot

    def leave(self, slot: Reservation) -> None:
        # Not up to the present: a request that has arrived by now may not have entered yet.
        if slot.due is not None:
            self._advance(slot.due)

    def abandon(self, slot: Reservation, now: float) -> None:
        self._advance(now)
        now = self._now
        if slot.gone is not None:
            return
        if slot.start is None:
            del self._waiting[slot]
        elif _due(slot) > now:
            self._ended += now - slot.start
            self._unanswered += now - slot.start
            self._busy -= 1
        else:
            return
        slot.gone = now
        self._abandoned += 1
        if len(self._running) > 2 * self._busy + 64:
            self._running = [entry for entry in self._running if entry[2].gone is None]
            heapq.heapify(self._running)
        self._fill(now)

    def adopt(self, capacity: ServerCapacity, now: float) -> None:
        self._check(capacity)
        self._advance(now)
        self.capacity = capacity
        self._fill(self._now)

    def load(self, now: float, reset_peak: bool = False) -> QueueLoad:
        self._advance(now)
        now = self._now
        running = sum(now - _start(slot) for _, _, slot in self._running if slot.gone is None)
        load = QueueLoad(
            servers=self.capacity.servers,
            busy=self._busy,
            waiting=len(self._waiting),
            waiting_peak=self._waiting_peak,
            admitted=self._admitted,
            refused=self._refused,
            abandoned=self._abandoned,
            busy_seconds=self._ended + running,
            unanswered_seconds=self._unanswered,
            wasted_seconds=0.0,
        )
        if reset_peak:
            self._waiting_peak = len(self._waiting)
        return load

    def _advance(self, now: float) -> None:
        """Let happen, in its order, all that ends until `now`."""
        running = self._running
        while running and running[0][0] <= now:
            due, _, slot = heapq.heappop(running)
            if slot.gone is None:
                self._busy -= 1
                self._ended += due - _start(slot)
                self._fill(due)
        if now > self._now:
            self._now = now

    def _fill(self, now: float) -> None:
        while self._waiting and self._busy < self.capacity.servers:
            slot, _ = self._waiting.popitem(last=False)
            self._start(slot, now)
            if slot.moved:
                slot.moved()
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Set an alarm for the next end, if that lets a request start."""
        if self._call_at and self._waiting and self._running[0][0] < self._alarm:
            self._alarm = when = self._running[0][0]
            self._call_at(when, lambda: self._ring(when))

    def _ring(self, when: float) -> None:
        if when == self._alarm:
            self._alarm = float("inf")
            self._advance(when)
            self._set_alarm()

    def _start(self, slot: Reservation, now: float) -> None:
        slot.start = now
        slot.due = now + self._duration(slot.service, self._busy + 1)
        if slot.due > now:  # else it is over already, and keeps nobody from starting
            self._busy += 1
            heapq.heappush(self._running, (slot.due, next(self._order), slot))


def _start(slot: Reservation) -> float:
    assert slot.start is not None
    return slot.start


def _due(slot: Reservation) -> float:
    assert slot.due is not None
    return slot.due


def _wasted(slot: Reservation, until: float) -> float:
    """Seconds a server spent on it after its client had gone."""
    assert slot.gone is not None
    return max(until - max(_start(slot), slot.gone), 0.0)
