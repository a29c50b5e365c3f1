"""Which client, how many of them, and what async gains."""

from loadtests.analysis.stats.ratios import ratio
from loadtests.claims.experiment import ClaimCase, experiment
from loadtests.claims.measurements import Measurement, counted, measured_ratio
from loadtests.claims.model import THREADS, TLS_CONTEXT, throughput
from loadtests.results import Estimate

FASTER = 0.8  # of the time: what one would notice
KEPT_BY_HTTPX = 20  # connections at most, above which 0.28.1 keeps none at all


@experiment(
    claim="Async makes one request faster.",
    theory="One request waits for its call, in any client: L and about a millisecond.",
    plans=("clients",),
)
def faster_alone(seen: Measurement) -> list[ClaimCase]:
    alone = seen.mean("requests", 1)
    return [
        ClaimCase(
            when=f"with {name}",
            what="time of one request, against `requests`",
            unit="number",
            if_true=FASTER,
            if_false=1.0,
            predicted=1.0,
            measured=ratio(alone, seen.mean(name, 1)) or Estimate(value=1.0),
        )
        for name in ("httpx", "httpx2", "aiohttp")
    ]


@experiment(
    claim="A shared async client keeps connections alive and reuses them.",
    theory=f"It does, but httpx 0.28.1 keeps none while more than {KEPT_BY_HTTPX} are open.",
    plans=("clients",),
)
def client_reuses(seen: Measurement) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"with {name} at {users} users",
            what="connections opened for each call",
            unit="number",
            if_true=0.0,
            if_false=1.0,
            predicted=float(name == "httpx" and users > KEPT_BY_HTTPX),
            measured=counted(seen.counts(name, users).connections_per_call),
        )
        for name in ("httpx", "httpx2", "aiohttp")
        for users in (10, 40)
    ]


@experiment(
    claim="A new client for each request wastes resources.",
    theory="Each builds a TLS context, 17 ms of CPU on the loop: 1/c is some 50 a second.",
    plans=("clients",),
    probed=("client-per-request",),
)
def new_client_wastes(seen: Measurement) -> list[ClaimCase]:
    shared = seen.cpu("httpx", 1).value
    own = shared + TLS_CONTEXT
    return [
        ClaimCase(
            when="with 1 user",
            what="CPU of one request",
            unit="seconds",
            if_true=own,
            if_false=shared,
            predicted=own,
            measured=seen.cpu("client-per-request", 1),
        ),
        ClaimCase(
            when="with 40 users",
            what="answers",
            unit="per second",
            if_true=throughput(40, seen.delay, cpu=own),
            if_false=throughput(40, seen.delay, cpu=shared),
            predicted=throughput(40, seen.delay, cpu=own),
            measured=seen.throughput("client-per-request", 40),
        ),
        ClaimCase(
            when="beyond the knee",
            what="elasticity of throughput to the upstream's delay",
            unit="number",
            if_true=0.0,  # requests wait for CPU, which the upstream does not hold
            if_false=-1.0,
            predicted=0.0,
            measured=seen.elasticity("client-per-request"),
        ),
    ]


@experiment(
    claim="A new AsyncClient with gather in `async def` is the good pattern, and `requests` in "
    "`def` the bad one.",
    theory="Alone it takes L instead of 2 L; but its CPU ends it at 1/c a second, where "
    f"threads give {THREADS} / 2 L.",
    plans=("pages",),
)
def good_page(seen: Measurement) -> list[ClaimCase]:
    """Throughput against that of `requests.get` twice."""
    cost = seen.cpu("requests-get", 1).value
    own = seen.cpu("new-async-client", 1).value
    both = seen.longest_of(2)

    def predicted(users: int) -> float:
        threads = throughput(users, 2 * seen.delay, THREADS, cost)
        return throughput(users, both + own, cpu=own) / threads

    return [
        ClaimCase(
            when=f"with {users} user{'s' if users > 1 else ''}",
            what="throughput, against `requests.get` twice",
            unit="number",
            if_true=2.0,
            if_false=0.5,
            predicted=predicted(users),
            measured=measured_ratio(
                seen.throughput("requests-get", users), seen.throughput("new-async-client", users)
            ),
        )
        for users in (1, 30)
    ]


@experiment(
    claim="Async carries more waiting calls than threads do.",
    theory="The limit is the number of threads, T / L, and not that they are threads.",
    plans=("many-threads",),
)
def async_scales_better(seen: Measurement) -> list[ClaimCase]:
    users = 100
    gain = users / THREADS
    return [
        ClaimCase(
            when=f"against {threads} threads",
            what=f"throughput of async with {users} users, against threads",
            unit="number",
            if_true=gain,
            if_false=1.0,
            predicted=users / min(threads, users),
            measured=measured_ratio(
                seen.throughput(f"threads[{threads}]", users), seen.throughput("async", users)
            ),
        )
        for threads in (THREADS, users)
    ]
