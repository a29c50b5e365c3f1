"""Faults drawn from a seed: services whose limit is known because it was put there.

Deployments that share an upstream are played in one plan, each to its knee and beyond it. A fault's
knee is where the resource that was made scarce is used up; everything else has room to spare: no
more than half of a core, and twice as much of every other resource.
"""

import json
import math
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

SERVICE = Path(__file__).with_name("seeded_service.py")
CPU = 0.0011  # seconds of a request at most, whatever the variant (but a client of its own)
ROOM = 0.45  # of a core, at the ceiling
THINK = 0.25  # seconds; a refusal comes at once, and users would do nothing but be refused
ASYNC = ("async-httpx2", "async-aiohttp")


@dataclass(frozen=True)
class Fault:
    """
    One deployment, and what limits it.

    `causes`: the right names; `outside`: those that are right where the service has no telemetry of
    itself. `knee`: users who do not think, by
    the settings.
    """

    kind: str
    variant: str
    causes: set
    outside: set
    knee: float
    settings: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)  # of tests/support/seeded_service.py


@dataclass(frozen=True)
class Group:
    """A plan: faults behind one upstream, loaded with the same levels."""

    number: int
    upstream: str  # TOML
    levels: tuple
    faults: list
    seconds: float  # the mean time of a call, without a queue
    think: float = 0.0  # seconds of the users

    def plan(self, telemetry=True):
        """The text of a plan file; the deployments' names are `kind-index`."""
        parts = [
            f'name = "faults-{self.number}"\nseed = {self.number}',
            f"telemetry = {json.dumps(telemetry)}",
            self.upstream,
            '[[requests]]\npath = "/external-data"\ntimeout = "30s"',
            f'[load]\nlevels = {list(self.levels)}\nthink_time = "{self.think * 1000:g}ms"',
            f'settle = "{quarters(0.75 + 2 * self.seconds)}s"',
            f'measure = "{quarters(1.75 + 3 * (self.seconds + self.think))}s"',
            *(self.deployment(index) for index in range(len(self.faults))),
        ]
        return "\n".join(parts) + "\n"

    def deployment(self, index):
        fault = self.faults[index]
        head = f"[deployments.{self.name(index)}]\n"
        if not fault.extra:
            settings = ", ".join(f"{name} = {value}" for name, value in fault.settings.items())
            return f'{head}variant = "{fault.variant}"\nsettings = {{ {settings} }}\n'
        words = [sys.executable, str(SERVICE), fault.variant, "--port", "{port}"]
        words += ["--upstream", "{upstream}"]
        words += [text for key, value in fault.extra.items() for text in (f"--{key}", str(value))]
        env = ", ".join(f'APP_{name.upper()} = "{value}"' for name, value in fault.settings.items())
        return f"{head}command = {json.dumps(words)}\nenv = {{ {env} }}\n"

    def name(self, index):
        return f"{self.faults[index].kind}-{index}"


def quarters(seconds):
    return round(4 * seconds) / 4


def drawn(seed, groups):
    """Groups of faults; the same seed gives the same."""
    rng = random.Random(f"faults/{seed}")
    makers = [plain, plain, limited_upstream, rate_limited, storm, plain, refusing]
    return [makers[number % len(makers)](rng, number) for number in range(groups)]


def latency(rng, low=0.025, high=0.2):
    """Mean seconds, and the profile's words for it: of a coefficient of variation from 0 to 1."""
    seconds = round(rng.uniform(low, high), 3)
    mean = f"{seconds * 1000:g}ms"
    median = seconds * 1000 / math.exp(rng.uniform(0.2, 0.83) ** 2 / 2)  # CV 0.2 to 1
    words = (
        mean,
        f"uniform({seconds * 700:g}ms,{seconds * 1300:g}ms)",
        f"exponential({mean})",
        f"lognormal(mean={mean},p50={median:.4g}ms)",
    )
    return seconds, f'latency = "{rng.choice(words)}"'


def group(number, upstream, faults, seconds, think=0.0, beyond=False):
    """Levels: without a queue, and beyond all knees; or all of them beyond."""
    cycles = 1 + think / seconds
    knee = cycles * max(fault.knee for fault in faults)
    lowest = cycles * min(fault.knee for fault in faults if fault.knee)
    first = max(round(0.4 * min(lowest, knee / 4)), 1)
    if beyond:
        first = max(round(1.3 * knee), 3)
    levels = (first, max(round(1.8 * knee), 6), max(round(3 * knee), 12))
    return Group(number, upstream, levels, faults, seconds, think)


def plain(rng, number):
    """An upstream without a limit; the service has one."""
    seconds, words = latency(rng)
    most = max(int(ROOM / CPU * seconds), 3)  # calls at a time that leave the CPU room
    few = lambda: rng.randint(2, min(most, 40))  # noqa: E731
    makers = {
        "threads": lambda: threads(few()),
        "pool-of-threads": lambda: pool_of_threads(few()),
        "pool": lambda: pool(rng, few()),
        "concurrency-limit": lambda: slots(few()),
        "blocked": lambda: blocked(),
        "hidden": lambda: hidden(rng, seconds),
        "burn": lambda: burn(rng, seconds),
        "churn": lambda: churn(seconds),
        "background": lambda: background(few(), seconds),
        "none": lambda: none(rng),
    }
    faults = [makers[kind]() for kind in rng.sample(sorted(makers), 6)]
    return group(number, f"[upstream]\n{words}", faults, seconds, beyond=rng.random() < 0.25)


def threads(count):
    settings = {"threads": count, "pool": 2 * count}
    return Fault(
        "threads",
        "blocking-requests",
        {"threads"},
        {"concurrency-limit", "threads"},
        count,
        settings,
    )


def pool_of_threads(count):
    settings = {"threads": 2 * count + 2, "pool": count, "pool_timeout": 30}
    causes = {"concurrency-limit", "pool"}
    return Fault("pool-of-threads", "blocking-requests", {"pool"}, causes, count, settings)


def pool(rng, count):
    settings = {"pool": count, "pool_timeout": 30}
    return Fault(
        "pool", rng.choice(ASYNC), {"pool"}, {"concurrency-limit", "pool"}, count, settings
    )


def slots(count):
    settings = {"max_concurrent": count, "max_queue": 1000}
    return Fault(
        "concurrency-limit",
        "bounded-httpx",
        {"concurrency-limit"},
        {"concurrency-limit"},
        count,
        settings,
    )


def blocked():
    """One call at a time."""
    return Fault("blocked", "blocking-in-async", {"loop"}, {"loop", "concurrency-limit"}, 1)


def hidden(rng, seconds):
    """A blocking call in a service that is fine otherwise."""
    block = round(rng.uniform(0.006, 0.04), 4)
    knee = 1 + seconds / block
    # From outside, a loop that sleeps looks like anything that is limited and idle.
    causes = {"loop", "concurrency-limit", "unknown"}
    return Fault("hidden", rng.choice(ASYNC), {"loop"}, causes, knee, extra={"block": block})


def burn(rng, seconds):
    cpu = round(rng.uniform(0.003, 0.012), 4)
    variant = rng.choice((*ASYNC, "blocking-requests"))
    knee = 1 + seconds / (cpu + CPU / 2)
    settings = {"threads": 100} if variant == "blocking-requests" else {"pool": 200}
    return Fault("burn", variant, {"cpu"}, {"cpu"}, knee, settings, extra={"burn": cpu})


def churn(seconds):
    return Fault("churn", "client-per-request", {"churn"}, {"churn"}, 1 + seconds / 0.017)


def background(count, seconds):
    """Threads that are held for as long again after the answer."""
    settings = {"threads": count, "pool": 2 * count}
    causes = {"concurrency-limit", "threads"}
    hold = {"hold": round(seconds, 4)}
    return Fault("background", "blocking-requests", {"threads"}, causes, count / 2, settings, hold)


def none(rng):
    """Room for everybody."""
    return Fault("none", rng.choice((*ASYNC, "blocking-requests")), {None}, {None}, 0, roomy())


def roomy():
    return {"threads": 200, "pool": 200, "pool_timeout": 30}


def limited_upstream(rng, number):
    """A number of servers; a service that has even fewer threads is limited by them."""
    seconds, words = latency(rng)
    servers = rng.randint(3, max(int(ROOM / CPU * seconds), 4))
    upstream = f"[upstream]\n{words}\n[upstream.capacity]\nservers = {servers}\nqueue = 100000"
    faults = [
        Fault("upstream", variant, {"upstream"}, {"upstream"}, servers, roomy())
        for variant in rng.sample(("blocking-requests", *ASYNC), 2)
    ]
    if servers > 6:
        faults += [threads(servers // 3), pool(rng, servers // 3)]
    return group(number, upstream, faults, seconds)


def rate_limited(rng, number):
    """Answers 429 beyond this many calls a second."""
    seconds, words = latency(rng, 0.03, 0.1)
    rate = rng.randint(40, 120)
    upstream = (
        f"[upstream]\n{words}\n[[upstream.limits]]\n"
        f'kind = "token_bucket"\nlimit = {rate}\nper = "1s"\nburst = {max(rate // 10, 1)}'
    )
    faults = [
        Fault("rate", variant, {"upstream"}, {"upstream"}, rate * seconds, roomy())
        for variant in rng.sample(("blocking-requests", *ASYNC), 2)
    ]
    few = int(rate * seconds / 2.5)
    if few >= 1:
        faults += [threads(few), slots(few)]
    return group(number, upstream, faults, seconds, THINK)


def refusing(rng, number):
    """The service itself answers 429 beyond a number of requests at a time."""
    seconds, words = latency(rng, 0.05, 0.2)
    faults = []
    for variant in rng.sample(("blocking-requests", *ASYNC), 2):
        most = rng.randint(3, 20)
        extra = {"refuse": most}
        causes = {"refusals"}
        faults.append(Fault("refused", variant, causes, causes, most, roomy(), extra))
    return group(number, f"[upstream]\n{words}", faults, seconds, THINK)


def storm(rng, number):
    """An upstream that refuses, and a service that tries again at once."""
    seconds, words = latency(rng, 0.03, 0.1)
    rate = rng.randint(40, 120)
    upstream = (
        f"[upstream]\n{words}\n[[upstream.limits]]\n"
        f'kind = "token_bucket"\nlimit = {rate}\nper = "1s"\nburst = {max(rate // 10, 1)}'
    )
    faults = [
        Fault(
            "storm",
            "retrying-naive",
            {"retries"},
            {"retries"},
            rate * seconds,
            roomy() | {"attempts": rng.randint(3, 6)},
        )
        for _ in range(2)
    ]
    variant = rng.choice(ASYNC)
    faults.append(Fault("rate", variant, {"upstream"}, {"upstream"}, rate * seconds, roomy()))
    return group(number, upstream, faults, seconds, THINK)
