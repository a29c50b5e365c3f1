"""Queues as theory has them, whatever becomes of the clients."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from math import factorial
from random import Random
from statistics import fmean, stdev
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special

from mock_upstream.admission.capacity import ServerCapacity, Slowdown
from mock_upstream.admission.queues import QueueLoad, Reservation, Station, open_station

Discipline = Literal["keep", "release"]
DISCIPLINES: tuple[Discipline, ...] = ("keep", "release")
RUNS = 10


# --- one truth for all that follows: requests, as a client sees them


@dataclass
class Request:
    arrival: float
    service: float
    timeout: float | None = None
    """Seconds after which its client goes away; None: never."""
    slot: Reservation | None = None

    def end(self, discipline: Discipline) -> float:
        """When its server was free again."""
        assert self.slot
        assert self.slot.due is not None
        gone = self.slot.gone
        return self.slot.due if gone is None or discipline == "keep" else min(self.slot.due, gone)

    def start(self) -> float:
        """Infinite: never served."""
        assert self.slot
        return float("inf") if self.slot.start is None else self.slot.start


@dataclass
class Played:
    station: Station
    requests: list[Request]
    loads: list[tuple[float, QueueLoad]] = field(default_factory=list)
    told: list[tuple[Request, float]] = field(default_factory=list)
    """When each learnt its last start and due."""
    servers: list[tuple[float, int]] = field(default_factory=list)
    """How many there were, from when on."""

    def servers_at(self, when: float) -> int:
        return [servers for since, servers in self.servers if since <= when][-1]


def play(
    capacity: ServerCapacity,
    requests: Sequence[Request],
    *,
    reads: Sequence[float] = (),
    changes: Sequence[tuple[float, int]] = (),
    reporting: bool = True,
) -> Played:
    """
    All events in their order, as a mock without any lateness would report them.

    With `reporting` all leave in time, and there are no alarms; without, the reverse.
    """
    events: list[tuple[float, int, Callable[[], None]]] = []
    order, now = count(), 0.0

    def at(when: float, event: Callable[[], None]) -> None:
        heapq.heappush(events, (when, next(order), event))

    station = open_station(capacity, None if reporting else at)
    played = Played(station, list(requests), servers=[(-1.0, capacity.servers)])

    def enter(request: Request) -> None:
        slot = request.slot = station.enter(request.arrival, request.service)
        if slot is None:
            return

        def moved() -> None:
            due = slot.due
            if due is None:
                return
            played.told.append((request, now))
            if reporting:
                at(due, lambda: station.leave(slot) if slot.due == due else None)

        slot.moved = moved
        moved()
        if request.timeout is not None:
            when = request.arrival + request.timeout
            at(when, lambda: station.abandon(slot, when))

    def read(when: float) -> None:
        played.loads.append((when, station.load(when)))

    def change(when: float, servers: int) -> None:
        played.servers.append((when, servers))
        station.adopt(station.capacity.model_copy(update={"servers": servers}), when)

    for request in requests:
        at(request.arrival, lambda request=request: enter(request))  # type: ignore[misc]
    for when in reads:
        at(when, lambda when=when: read(when))  # type: ignore[misc]
    for when, servers in sorted(changes):
        at(when, lambda when=when, servers=servers: change(when, servers))  # type: ignore[misc]
    while events:
        now, _, event = heapq.heappop(events)
        event()
    return played


def overlap(start: float, end: float, until: float) -> float:
    return max(min(end, until) - start, 0.0)


# Sixteenths of a second add up exactly, so events coincide often and sums have no rounding.
seconds = st.integers(0, 160).map(lambda sixteenths: sixteenths / 16)


@st.composite
def crowds(draw: st.DrawFn) -> list[Request]:
    """Requests in order of arrival, some impatient."""
    arrivals = sorted(draw(st.lists(seconds, min_size=1, max_size=30)))
    return [
        Request(arrival, draw(seconds) / 4, draw(st.none() | seconds.map(lambda s: s / 4)))
        for arrival in arrivals
    ]


capacities = st.builds(
    ServerCapacity,
    servers=st.integers(1, 4),
    queue=st.integers(0, 6),
    slowdown=st.sampled_from([{}, {"alpha": 0.5, "beta": 0.25}]),
    on_disconnect=st.sampled_from(DISCIPLINES),
)
changes = st.lists(st.tuples(seconds, st.integers(1, 5)), max_size=3, unique_by=lambda c: c[0])


# --- laws that hold for every crowd


@given(capacities, crowds(), changes, st.lists(seconds, max_size=4))
@settings(max_examples=300)  # fewer do not always find one server too many
def test_servers_neither_idle_nor_serve_two_and_what_they_did_is_accounted_for(
    capacity: ServerCapacity,
    crowd: list[Request],
    changes: list[tuple[float, int]],
    reads: list[float],
) -> None:
    played = play(capacity, crowd, reads=[*reads, 1e6], changes=changes)
    no_server_idles_while_somebody_waits_and_none_serves_two(capacity, played, changes)
    first_come_first_served(played)
    the_account_is_what_became_of_the_requests(capacity, played)


def no_server_idles_while_somebody_waits_and_none_serves_two(
    capacity: ServerCapacity, played: Played, changes: list[tuple[float, int]]
) -> None:
    admitted = [request for request in played.requests if request.slot]
    discipline = capacity.on_disconnect
    served = [request for request in admitted if request.start() < float("inf")]
    moments = {request.arrival for request in played.requests}
    moments |= {since for since, _ in played.servers}
    moments |= {moment for r in served for moment in (r.start(), r.end(discipline))}
    moments |= {r.slot.gone for r in admitted if r.slot and r.slot.gone is not None}
    between = sorted(moments)
    for earlier, later in pairwise(between):
        now = (earlier + later) / 2
        busy = sum(r.start() < now < r.end(discipline) for r in served)
        waiting = sum(r.arrival < now < last_waited(r, discipline) for r in admitted)
        servers = played.servers_at(now)
        assert not waiting or busy >= servers
        assert waiting <= capacity.queue
        assert changes or busy <= servers


def last_waited(request: Request, discipline: Discipline) -> float:
    """When it left the queue."""
    assert request.slot
    gone = request.slot.gone
    if discipline == "release" and gone is not None:
        return min(request.start(), gone)
    return request.start()


def first_come_first_served(played: Played) -> None:
    starts = [r.start() for r in played.requests if r.slot and r.slot.start is not None]
    assert starts == sorted(starts)
    for request in played.requests:
        assert not request.slot or request.start() >= request.arrival


@given(capacities, crowds())
def test_a_request_is_refused_only_by_a_full_queue(
    capacity: ServerCapacity, crowd: list[Request]
) -> None:
    played = play(capacity, crowd)
    for place, request in enumerate(played.requests):
        if request.slot is None:
            before = [r for r in played.requests[:place] if r.slot]
            waiting = [
                r for r in before if last_waited(r, capacity.on_disconnect) >= request.arrival
            ]
            assert len(waiting) >= capacity.queue


def the_account_is_what_became_of_the_requests(capacity: ServerCapacity, played: Played) -> None:
    discipline = capacity.on_disconnect
    final = played.loads[-1][1]
    admitted = [request for request in played.requests if request.slot]
    assert final.admitted == len(admitted)
    assert final.refused == len(played.requests) - len(admitted)
    assert final.abandoned == sum(r.slot.gone is not None for r in admitted if r.slot)
    assert (final.busy, final.waiting) == (0, 0)
    assert discipline == "keep" or final.wasted_seconds == 0
    for when, load in played.loads:
        served = [r for r in admitted if r.start() < float("inf") and r.arrival <= when]
        spent = [(r, overlap(r.start(), r.end(discipline), when)) for r in served]
        wasted = unanswered = 0.0
        for r, busy in spent:
            gone = r.slot.gone if r.slot else None
            if gone is not None and gone < when:  # at the same moment, the read came first
                unanswered += busy
                wasted += overlap(max(r.start(), gone), r.end(discipline), when)
        assert load.busy_seconds == pytest.approx(sum(busy for _, busy in spent))
        assert load.unanswered_seconds == pytest.approx(unanswered)
        assert load.wasted_seconds == pytest.approx(wasted)
        assert 0 <= load.wasted_seconds <= load.unanswered_seconds + 1e-9
        assert load.unanswered_seconds <= load.busy_seconds + 1e-9


@given(capacities, crowds(), changes)
@example(
    ServerCapacity(servers=1, queue=2, slowdown=Slowdown(alpha=0.5, beta=0.25)),
    [Request(0.0, 1.0), Request(0.0, 0.0), Request(0.0, 1.0)],
    [(0.0, 3)],
)
def test_with_patient_clients_keeping_and_releasing_are_the_same(
    capacity: ServerCapacity, crowd: list[Request], changes: list[tuple[float, int]]
) -> None:
    schedules = []
    for discipline in DISCIPLINES:
        asked = [Request(request.arrival, request.service) for request in crowd]
        same = capacity.model_copy(update={"on_disconnect": discipline})
        played = play(same, asked, changes=changes)
        schedules.append([r.slot and (r.slot.start, r.slot.due) for r in played.requests])
    assert schedules[0] == schedules[1]


@given(capacities, crowds(), changes)
def test_a_waiting_request_is_woken_at_its_turn_without_a_report(
    capacity: ServerCapacity, crowd: list[Request], changes: list[tuple[float, int]]
) -> None:
    """Requests ahead may be busy with a slow body, and leave long after they were due."""
    reported = play(capacity, [replace(request) for request in crowd], changes=changes)
    silent = play(capacity, crowd, changes=changes, reporting=False)
    starts = [[r.slot and r.slot.start for r in p.requests] for p in (reported, silent)]
    assert starts[0] == starts[1]
    for request, told in silent.told:
        assert told <= request.start() or capacity.on_disconnect == "keep"


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_a_late_report_delays_nobody(discipline: Discipline) -> None:
    crowd = [Request(place / 8, 1.0) for place in range(20)]
    capacity = ServerCapacity(servers=2, on_disconnect=discipline)
    prompt = [r.slot and r.slot.due for r in play(capacity, crowd).requests]
    station = open_station(capacity)
    slots = [station.enter(request.arrival, request.service) for request in crowd]
    for slot in slots:  # each loop's wake-ups come in one heap, long after they were due
        assert slot
        station.leave(slot)
    assert [slot and slot.due for slot in slots] == prompt


# --- what theory says


def erlang_b(servers: int, load: float) -> float:
    """Share of requests lost where nobody waits (Erlang 1917)."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Share of requests that wait, in an endless queue."""
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def blocking(servers: int, queue: int, load: float) -> float:
    """Share of requests that M/M/c/K refuses, K = servers + queue."""
    weights = [
        load**n / factorial(n)
        if n <= servers
        else load**n / (factorial(servers) * servers ** (n - servers))
        for n in range(servers + queue + 1)
    ]
    return weights[-1] / sum(weights)


def within(samples: Sequence[float], truth: float) -> bool:
    """Whether the 99.9 % interval of the mean of independent runs holds the truth."""
    t = float(special.stdtrit(len(samples) - 1, 0.9995))
    margin = t * stdev(samples) / len(samples) ** 0.5
    return bool(abs(fmean(samples) - truth) <= margin)


def poisson(
    station: Station, seed: int, rate: float, requests: int, service: Callable[[Random], float]
) -> list[tuple[float, Reservation | None]]:
    random, now, entered = Random(seed), 0.0, []
    for _ in range(requests):
        now += random.expovariate(rate)
        entered.append((now, station.enter(now, service(random))))
    station.load(now + 1e6)  # everybody's start is known then
    return entered


def exponential(random: Random) -> float:
    return random.expovariate(1.0)


@pytest.mark.parametrize(
    ("servers", "utilisation", "discipline"),
    [(1, 0.5, "keep"), (2, 0.7, "release"), (4, 0.8, "keep"), (16, 0.9, "keep"), (50, 0.8, "keep")],
)
def test_waiting_times_match_erlang_c(
    servers: int, utilisation: float, discipline: Discipline
) -> None:
    load = servers * utilisation
    capacity = ServerCapacity(servers=servers, queue=1_000_000, on_disconnect=discipline)
    waits, shares = [], []
    for seed in range(RUNS):
        entered = poisson(open_station(capacity), seed, load, 6_000, exponential)[1000:]
        delays = [slot.start - now for now, slot in entered if slot and slot.start is not None]
        assert len(delays) == len(entered)
        waits.append(fmean(delays))
        shares.append(fmean(delay > 0 for delay in delays))
    waiting = erlang_c(servers, load)
    assert within(shares, waiting)
    assert within(waits, waiting / (servers - load))


@pytest.mark.parametrize(("servers", "queue", "load"), [(4, 3, 4.8), (2, 10, 1.9), (8, 0, 7.0)])
def test_a_bounded_queue_refuses_as_many_as_theory_says(
    servers: int, queue: int, load: float
) -> None:
    shares = []
    for seed in range(RUNS):
        station = open_station(ServerCapacity(servers=servers, queue=queue))
        entered = poisson(station, seed, load, 6_000, exponential)[1000:]
        shares.append(fmean(slot is None for _, slot in entered))
    assert within(shares, blocking(servers, queue, load))


def test_without_a_queue_the_distribution_of_service_does_not_matter() -> None:
    shares = []
    for seed in range(RUNS):
        station = open_station(ServerCapacity(servers=5, queue=0))
        entered = poisson(station, seed, 4.0, 6_000, lambda _: 1.0)[1000:]
        shares.append(fmean(slot is None for _, slot in entered))
    assert within(shares, erlang_b(5, 4.0))


@pytest.mark.parametrize(
    ("slowdown", "throughput"),
    [({}, 4 / 0.05), ({"alpha": 0.1, "beta": 0.05}, 4 / (0.05 * (1 + 0.1 * 3 + 0.05 * 4 * 3)))],
)
def test_throughput_ends_at_servers_over_service_time(
    slowdown: dict[str, float], throughput: float
) -> None:
    capacity = ServerCapacity.model_validate({"servers": 4, "queue": 20, "slowdown": slowdown})
    station = open_station(capacity)
    slots = [station.enter(place / 1000, 0.05) for place in range(20_000)]
    served = sum(slot is not None and slot.due is not None and slot.due <= 20.0 for slot in slots)
    assert served == pytest.approx(20 * throughput, rel=0.005)
    assert station.load(20.0).busy_seconds == pytest.approx(4 * 20, rel=0.005)


def test_with_coherence_more_servers_serve_less() -> None:
    def served(servers: int) -> int:
        capacity: dict[str, Any] = {"servers": servers, "slowdown": {"beta": 0.01}}
        station = open_station(ServerCapacity.model_validate(capacity))
        slots = [station.enter(place / 1000, 0.1) for place in range(10_000)]
        return sum(slot is not None and slot.due is not None and slot.due <= 10.0 for slot in slots)

    assert served(10) > served(5) > served(40)


def test_after_a_burst_only_a_releasing_queue_serves_waiting_clients() -> None:
    """Kept work for clients that gave up outlasts the burst: a metastable failure (HotOS 2021)."""
    burst = [(0.0, 1.0) for _ in range(100)]
    calm = [(1.5 + place / 5, 1.0) for place in range(35)]
    answered = {}
    for discipline in DISCIPLINES:
        capacity = ServerCapacity(servers=1, on_disconnect=discipline)
        crowd = [Request(arrival, 0.1, timeout) for arrival, timeout in burst + calm]
        played = play(capacity, crowd)
        answered[discipline] = sum(r.slot.gone is None for r in played.requests[100:] if r.slot)
        load = played.station.load(1e6)
        wanted = 0.1 * (load.admitted - load.abandoned)
        assert load.busy_seconds == pytest.approx(load.unanswered_seconds + wanted)
    assert answered == {"keep": 0, "release": 35}


# --- one case each


def test_a_released_server_turns_to_the_next_at_that_moment() -> None:
    station = open_station(ServerCapacity(servers=1, on_disconnect="release"))
    first, second = station.enter(0.0, 10.0), station.enter(1.0, 2.0)
    assert first
    assert second
    told: list[float | None] = []
    second.moved = lambda: told.append(second.start)
    assert second.due is None
    station.abandon(first, 3.0)
    assert told == [3.0]
    assert second.due == 5.0


def test_leaving_the_queue_frees_a_place_only_when_released() -> None:
    room = {}
    for discipline in DISCIPLINES:
        station = open_station(ServerCapacity(servers=1, queue=1, on_disconnect=discipline))
        station.enter(0.0, 10.0)
        waiting = station.enter(1.0, 1.0)
        assert waiting
        station.abandon(waiting, 2.0)
        room[discipline] = station.enter(3.0, 1.0) is not None
    assert room == {"keep": False, "release": True}


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_going_away_after_the_end_or_twice_changes_nothing(discipline: Discipline) -> None:
    station = open_station(ServerCapacity(servers=1, on_disconnect=discipline))
    served, impatient = station.enter(0.0, 1.0), station.enter(0.5, 1.0)
    assert served
    assert impatient
    station.abandon(served, 1.0)
    station.abandon(impatient, 1.5)
    station.abandon(impatient, 1.75)
    load = station.load(10.0)
    assert (load.abandoned, load.admitted) == (1, 2)
    assert load.unanswered_seconds == {"keep": 1.0, "release": 0.5}[discipline]
    assert load.wasted_seconds == {"keep": 0.5, "release": 0.0}[discipline]


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_additional_servers_serve_the_queue_at_once(discipline: Discipline) -> None:
    capacity = ServerCapacity(servers=1, on_disconnect=discipline)
    station = open_station(capacity)
    slots = [station.enter(0.0, 10.0) for _ in range(4)]
    station.adopt(capacity.model_copy(update={"servers": 3}), 1.0)
    assert [slot and slot.start for slot in slots[:3]] == [0.0, 1.0, 1.0]
    assert station.load(1.0).waiting == 1


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_removed_servers_finish_their_request(discipline: Discipline) -> None:
    capacity = ServerCapacity(servers=3, on_disconnect=discipline)
    station = open_station(capacity)
    for service in (2.0, 3.0, 4.0):
        station.enter(0.0, service)
    station.adopt(capacity.model_copy(update={"servers": 1}), 1.0)
    last = station.enter(1.0, 1.0)
    assert (station.load(1.5).busy, station.load(1.5).waiting) == (3, 1)
    station.load(10.0)
    assert last
    assert last.start == 4.0


def test_another_treatment_of_abandoned_work_takes_another_station() -> None:
    for discipline, other in (DISCIPLINES, DISCIPLINES[::-1]):
        station = open_station(ServerCapacity(servers=1, on_disconnect=discipline))
        with pytest.raises(ValueError, match="make a new one"):
            station.adopt(ServerCapacity(servers=1, on_disconnect=other), 0.0)


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_the_peak_of_waiting_starts_again_where_it_is_read(discipline: Discipline) -> None:
    station = open_station(ServerCapacity(servers=1, on_disconnect=discipline))
    for _ in range(5):
        station.enter(0.0, 1.0)
    assert station.load(2.5, reset_peak=True).waiting_peak == 4
    assert station.load(2.5).waiting_peak == 2


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_finished_clients_use_no_memory(discipline: Discipline) -> None:
    """An hour of service each, and a timeout of a second: a client that scans, or attacks."""
    station = open_station(ServerCapacity(servers=5, queue=5, on_disconnect=discipline))
    for place in range(20_000):
        slot = station.enter(place, 3600.0)
        if slot:
            station.abandon(slot, place + 0.5)
    held = sum(
        len(value) for value in vars(station).values() if isinstance(value, list | dict)
    ) + len(vars(station).get("_planned", ()))
    assert held < 500
