"""Whether the service's own processes bind: their CPU, their loop, their pools and threads."""

from loadtests.analysis.causes.case import FULL, QUEUE, ROOM, Case, Found, full
from loadtests.analysis.causes.ceilings import predicted
from loadtests.analysis.causes.demand import STARVED, late, usable_cores
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.law import FOLLOWING
from loadtests.analysis.numbers import duration, percent, rounded
from loadtests.results import Ceiling

LATE_SHARE = 0.1  # of the time that a request waits, by which a blocked loop is late in the mean
CONSTRUCTING = 0.4  # of the CPU of a request: clients made for each call
RECONNECTING = 0.5  # connections opened for each call
MORE = 0.1  # of the CPU of a request at low load: what it costs more at a level
DEARER = 0.25  # of the CPU of a request: what it costs more than at the lowest level
CLIENT = 0.008  # seconds of CPU: a connection costs one ms, a client with its TLS settings 17 ms


MUCH = 0.05  # of its cores: where others took less, the service had them to itself
TAKEN = 0.01  # what one of them took of its cores, to be told


def cpu(case: Case) -> Found | None:
    share = case.cpu
    now, each = case.now, case.now.cpu_each
    taken = now.host + now.others
    left = max(1 - taken, 0.0) if taken >= MUCH else 1.0
    if share is None or share < FULL * left:
        return None
    cores = usable_cores(now)
    used = min(share, 1.0) * cores
    text = f"{rounded(used, 2)} of {_cores(cores)} used"
    if left < 1:
        text = f"{text}, {_taken(now)}: it had {percent(left)} left"
    share = share / left if share < left else 1.0
    ceiling, dearer = _there(case, each)
    ceiling = _of_rest(case, ceiling)
    churn = _churn(case, each)
    if churn:
        return Found("churn", share, f"connection churn: {churn}; {text}", ceiling)
    what = f", {duration(each)} for a request{dearer}" if each else ""
    return Found("cpu", share, f"CPU: {text}{what}", ceiling)


def _taken(now: Observation) -> str:
    """E.g. "its host took 6.8 % and other processes took 12 %"."""
    parts = [
        f"its host took {percent(now.host)}" if now.host >= TAKEN else "",
        f"other processes took {percent(now.others)}" if now.others >= TAKEN else "",
    ]
    return " and ".join(filter(None, parts))


def starved(case: Case) -> Found | None:
    """Work without a core, while nothing else is used up: others have it, and that is enough."""
    now = case.now
    if now.starved < STARVED or not _explains(case, min(now.starved, 1.0)):
        return None
    share = case.cpu or 0.0
    cores = usable_cores(now)
    used = f" and used {rounded(min(share, 1.0) * cores, 2)} of {_cores(cores)}" if share else ""
    why = (
        f"CPU, taken by others: for {percent(min(now.starved, 1.0))} of the time the service had "
        f"work and no core,{used}"
    ).rstrip(",")
    if taken := _taken(now):
        why += f"; {taken}: {percent(max(1 - now.host - now.others, 0.0))} was left"
    ceiling = _of_rest(case, case.ceiling("cpu"))
    return Found("cpu", None, why, ceiling if case.reaches(ceiling) else None)


def _of_rest(case: Case, ceiling: Ceiling | None) -> Ceiling | None:
    """The ceiling with the CPU that others leave; the same where they take little."""
    left = 1 - case.now.host - case.now.others
    if ceiling is None or not ceiling.capacity or not 0 < left <= 1 - MUCH:
        return ceiling
    cores, each = ceiling.capacity * left, ceiling.capacity / predicted(ceiling)
    how = f"{rounded(cores, 2)} of {_cores(ceiling.capacity)} / {duration(each)}"
    return Ceiling(resource="cpu", throughput=cores / each, how=how, capacity=cores)


def _explains(case: Case, waited: float) -> bool:
    """
    Whether waits for a core can be what throughput lacks.

    They are when it ran or waited for nearly all of the time, as a server does that is used up.
    Otherwise, with all of the waited time taken off its cycle, a level has 1 / (1 - waited) times
    as much at most.
    """
    expected = case.law.expected(case.now.point)
    if (case.cpu or 0.0) + waited >= ROOM:
        return True
    return expected is not None and case.now.throughput >= (1 - waited) * FOLLOWING * expected


def _there(case: Case, each: float | None) -> tuple[Ceiling | None, str]:
    """The ceiling with the CPU that a request takes at this level, and by how much that is more."""
    ceiling = case.ceiling("cpu")
    if ceiling is None or not each or not case.takes.cpu:
        return ceiling, ""
    more = each / case.takes.cpu - 1
    if more < MORE:
        return ceiling, ""
    cores = usable_cores(case.now)
    how = f"{_cores(cores)} / {duration(each)}"
    here = Ceiling(resource="cpu", throughput=cores / each, how=how, capacity=cores)
    return here, f", {percent(more)} more than at low load"


def _cores(count: float) -> str:
    return "1 core" if count == 1 else f"{rounded(count, 3)} cores"


def _churn(case: Case, each: float | None) -> str | None:
    """What of the CPU is spent on clients and connections that could be kept; None: too little."""
    now, low = case.now, case.low
    gauges = now.gauges
    if not each:
        return None
    if gauges and gauges.constructing and gauges.constructing >= CONSTRUCTING * each:
        # That is by the clock: more than all of the CPU means that others ran meanwhile.
        part = min(gauges.constructing, each)
        made = f"{rounded(gauges.clients, 2)} clients" if gauges.clients else "TLS contexts"
        return f"{made} are made for a request, {duration(part)} of its {duration(each)} of CPU"
    opened = _opened(now)
    if opened is None or opened < RECONNECTING:
        return None
    before = _opened(low)
    cheap = low.cpu_each
    dearer = cheap is not None and each - cheap >= DEARER * each
    if now is not low and dearer and before is not None and before < opened / 2:
        then = duration(cheap or 0.0)
        return (
            f"{rounded(opened, 2)} connections are opened for a call, and a request takes "
            f"{duration(each)} of CPU instead of {then}"
        )
    if gauges is None and opened >= FULL and each >= CLIENT:
        return (
            f"{rounded(opened, 2)} connections are opened for a call, and a request takes "
            f"{duration(each)} of CPU, as one does that makes a client"
        )
    return None


def _opened(one: Observation) -> float | None:
    """Connections for each call."""
    if one.upstream and one.upstream.connections is not None:
        return one.upstream.connections
    if one.gauges and one.gauges.connects is not None and one.gauges.calls:
        return one.gauges.connects / one.gauges.calls
    return None


def blocked(case: Case) -> Found | None:
    """A loop that is late, and that is not for want of CPU."""
    lag = case.lag
    if lag is None or case.now.gauges is None or not late(case.now):
        return None
    waits = max((case.now.time or 0.0) - (case.low.time or 0.0), 0.0)
    if lag < LATE_SHARE * waits or not case.near("loop"):
        return None
    loop = case.now.gauges.loop_cpu
    used = f" while it uses {percent(loop)} of a core" if loop is not None else ""
    why = f"blocked event loop: it is {duration(lag)} late in the mean{used}"
    ceiling = case.ceiling("loop")
    utilisation = min(case.now.throughput / ceiling.throughput, 1.0) if ceiling else 1.0
    return Found("loop", utilisation, why)


def pool(case: Case) -> Found | None:
    pool = case.now.gauges.fullest if case.now.gauges else None
    if pool is None or not pool.limit or pool.waiting < QUEUE or not case.near("pool"):
        return None
    if not full(pool.used, pool.limit, pool.waiting):
        return None
    of = f"{rounded(pool.used, 3)} of {rounded(pool.limit, 4)}"
    client, _, host = pool.client.partition(".")
    each = " for this host" if host else ""
    why = (
        f"connection pool: {of} connections of {client or 'the client'}{each} in use, "
        f"{rounded(pool.waiting, 3)} calls waiting"
    )
    return Found("pool", pool.used / pool.limit, why)


def semaphore(case: Case) -> Found | None:
    semaphore = case.now.gauges.semaphore if case.now.gauges else None
    if semaphore is None or not semaphore.limit or semaphore.waiting < QUEUE:
        return None
    if not full(semaphore.used, semaphore.limit, semaphore.waiting):
        return None
    if not case.near("concurrency-limit"):
        return None
    why = (
        f"semaphore: {rounded(semaphore.used, 3)} of {rounded(semaphore.limit, 4)} places taken, "
        f"{rounded(semaphore.waiting, 3)} requests waiting"
    )
    return Found("concurrency-limit", semaphore.used / semaphore.limit, why)


def threads(case: Case) -> Found | None:
    threads = case.now.gauges.threads if case.now.gauges else None
    if threads is None or threads.waiting < QUEUE or not case.near("threads"):
        return None
    if not full(threads.busy, threads.total, threads.waiting):
        return None
    why = (
        f"thread pool: {rounded(threads.busy, 3)} of {rounded(threads.total, 4)} threads busy, "
        f"{rounded(threads.waiting, 3)} requests waiting"
    )
    return Found("threads", threads.busy / threads.total, why)
