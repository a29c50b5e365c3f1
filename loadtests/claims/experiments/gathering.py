"""Several calls at once, and what is done to limit them."""

from loadtests.claims.experiment import ClaimCase, experiment
from loadtests.claims.measurements import Measurement, counted, measured_ratio
from loadtests.claims.model import THREADS, response_time, usl_throughput

CALLS = 5  # of each request of the plan "gather"


@experiment(
    claim="With gather, several calls take as long as the longest and not as all together.",
    theory="While users times calls fit into the pool; beyond, calls wait: N k L / P.",
    plans=("gather",),
)
def gather_costs_one(seen: Measurement) -> list[ClaimCase]:
    longest, added = seen.longest_of(CALLS), CALLS * seen.delay

    def case(name: str, users: int, pool: int) -> ClaimCase:
        return ClaimCase(
            when=f"with {users} user{'s' if users > 1 else ''} and a pool of {pool}",
            what=f"time of {CALLS} gathered calls",
            unit="seconds",
            if_true=longest,
            if_false=added,
            predicted=max(longest, users * added / pool),
            measured=seen.mean(name, users),
        )

    return [case("gathered", 1, 100), case("gathered", 10, 100), case("small-pool", 10, 10)]


@experiment(
    claim="A semaphore around the calls keeps the upstream from being overwhelmed.",
    theory="Made in the handler there is one for each request: N m calls at a time.",
    plans=("semaphore",),
)
def semaphore_protects(seen: Measurement) -> list[ClaimCase]:
    users, each, shared = 10, 2, 4
    return [
        ClaimCase(
            when="made in the handler",
            what=f"calls in flight at most, {users} users",
            unit="number",
            if_true=each,
            if_false=users * each,
            predicted=users * each,
            measured=counted(seen.counts("in-the-handler", users).peak),
        ),
        ClaimCase(
            when="made once for the process",
            what=f"calls in flight at most, {users} users",
            unit="number",
            if_true=shared,
            if_false=users * each,
            predicted=shared,
            measured=counted(seen.counts("of-the-process", users).peak),
        ),
    ]


@experiment(
    claim="A semaphore of 1 is the synchronous model.",
    theory=f"For one request it is; but {THREADS} threads end what others may do meanwhile.",
    plans=("one-at-a-time",),
)
def semaphore_of_one(seen: Measurement) -> list[ClaimCase]:
    both = 2 * seen.delay

    def predicted(users: int) -> float:
        return both / response_time(users, both, THREADS)

    return [
        ClaimCase(
            when=f"with {users} users",
            what="response time, against two calls in a `def` route",
            unit="number",
            if_true=1.0,
            if_false=0.5 if users <= THREADS else predicted(users),
            predicted=predicted(users),
            measured=measured_ratio(
                seen.mean("synchronous", users), seen.mean("semaphore-of-one", users)
            ),
        )
        for users in (20, 80)
    ]


@experiment(
    claim="Limiting concurrent calls is a further optimisation.",
    theory="It moves the queue from the upstream into the service, and gains only what the "
    "upstream loses by being crowded.",
    plans=("clients", "degrading"),
)
def limiting_helps(steady: Measurement, degrading: Measurement) -> list[ClaimCase]:
    bound, users = 10, 60
    capacity = degrading.plan.upstream.capacity
    beta = capacity.slowdown.beta if capacity else 0.0
    alone = degrading.plan.upstream.latency.quantile(0.5)
    gain = usl_throughput(bound, alone, beta) / usl_throughput(users, alone, beta)
    loss = bound / 40
    return [
        ClaimCase(
            when="with an upstream that is as fast under load",
            what=f"throughput with {bound} calls at a time, against no limit",
            unit="number",
            if_true=1 / loss,
            if_false=loss,
            predicted=loss,
            measured=measured_ratio(
                steady.throughput("httpx2", 40), steady.throughput("bounded", 40)
            ),
        ),
        ClaimCase(
            when="with an upstream that slows down under load",
            what=f"throughput with {bound} calls at a time, against no limit",
            unit="number",
            if_true=gain,
            if_false=1 / gain,
            predicted=gain,
            measured=measured_ratio(
                degrading.throughput("unlimited", users), degrading.throughput("bounded", users)
            ),
        ),
    ]
