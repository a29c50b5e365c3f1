"""What blocks what: `requests` in `def`, in `async def`, and awaited calls."""

from loadtests.claims.experiment import ClaimCase, experiment
from loadtests.claims.measurements import Measurement, measured_ratio
from loadtests.claims.model import HEALTHY, THREADS, response_time, throughput

CALL, HEALTH, HEALTH_SYNC = "/external-data", "/health", "/health-sync"


@experiment(
    claim="`requests` in a `def` route blocks the event loop.",
    theory=f"FastAPI runs `def` routes in {THREADS} threads; the loop only waits for them.",
    plans=("threads",),
)
def def_blocks_the_loop(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"with {users} users",
            what="time of /health (async def)",
            unit="seconds",
            # It would wait for the calls of all others; eight requests in ten make one.
            if_true=0.8 * (users - 1) * seen.delay,
            if_false=HEALTHY,
            predicted=HEALTHY,
            measured=seen.mean("def", users, HEALTH),
        )
        for users in (10, 40, 80)
    ]


@experiment(
    claim="A synchronous call in a `def` route keeps other requests from being processed.",
    theory=f"{THREADS} calls are under way at a time: min(N, {THREADS}) / L a second.",
    plans=("threads",),
)
def one_at_a_time(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"with {users} users",
            what="calls answered",
            unit="per second",
            if_true=1 / seen.delay,
            if_false=throughput(users, seen.delay, THREADS),
            predicted=throughput(users, seen.delay, THREADS),
            measured=seen.throughput("def", users, CALL),
        )
        for users in (10, 80)
    ]


@experiment(
    claim="While synchronous calls wait, other `def` routes wait, too.",
    theory=f"Only for a thread, and only when all {THREADS} are taken.",
    plans=("threads",),
)
def def_holds_up_others(seen: Measurement) -> list[ClaimCase]:
    def waiting(users: int) -> float:
        """Requests ahead of one in the queue for a thread, of which one in nine makes no call."""
        return max(users - THREADS, 0) * seen.delay * 8 / 9 / THREADS

    return [
        ClaimCase(
            when=f"with {users} users and {THREADS} threads",
            what="time of /health-sync (def)",
            unit="seconds",
            if_true=seen.delay,  # at least until one call has ended
            if_false=HEALTHY,
            predicted=max(waiting(users), HEALTHY),
            measured=seen.mean("def", users, HEALTH_SYNC),
        )
        for users in (10, 80, 120)
    ]


@experiment(
    claim="With synchronous calls response time grows linearly with each request.",
    theory=f"It is flat up to {THREADS} requests at a time, and N L / {THREADS} from there on.",
    plans=("threads",),
)
def grows_linearly(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"from {few} to {many} users",
            what="growth of the response time",
            unit="number",
            if_true=many / few,
            if_false=1.0,
            predicted=response_time(many, seen.delay, THREADS)
            / response_time(few, seen.delay, THREADS),
            measured=measured_ratio(seen.mean("def", few, CALL), seen.mean("def", many, CALL)),
        )
        for few, many in ((10, 40), (80, 120))
    ]


@experiment(
    claim="Blocking code inside `async def` freezes the loop and takes the benefit away.",
    theory="The loop makes one call at a time: 1/L a second, and every route waits in line.",
    plans=("blocked",),
)
def blocking_in_async(seen: Measurement) -> list[ClaimCase]:
    name = "blocking-in-async"
    calls = [
        ClaimCase(
            when=f"with {users} users",
            what="calls answered",
            unit="per second",
            if_true=1 / seen.delay,
            if_false=users / seen.delay,
            predicted=1 / seen.delay,
            measured=seen.throughput(name, users, CALL),
        )
        for users in (10, 20)
    ]
    bystanders = [
        ClaimCase(
            when=f"with {users} users",
            what="time of /health (async def)",
            unit="seconds",
            if_true=(users - 1) * seen.delay / 2,  # every second request makes a call
            if_false=HEALTHY,
            predicted=(users - 1) * seen.delay / 2,
            measured=seen.mean(name, users, HEALTH),
        )
        for users in (10, 20)
    ]
    return [*calls, *bystanders]


@experiment(
    claim="While an async call waits, other requests are not held up.",
    theory="Waiting costs nothing, but each call costs CPU: from 1/c calls a second on, all "
    "that the loop does comes late.",
    plans=("threads",),
)
def awaiting_blocks_nobody(seen: Measurement) -> list[ClaimCase]:
    cpu = seen.cpu("async", 10).value

    def waiting(users: int) -> float:
        return response_time(users, seen.delay, cpu=cpu) - seen.delay

    return [
        ClaimCase(
            when=f"with {users} users",
            what="time of /health (async def)",
            unit="seconds",
            if_true=HEALTHY,
            if_false=seen.delay,
            predicted=max(waiting(users), HEALTHY),
            measured=seen.mean("async", users, HEALTH),
        )
        for users in (10, 120)
    ]
