"""Runs as analysis would give them, made of plain arithmetic: something for reports to show."""

from collections.abc import Callable

from loadtests.results import (
    Capacity,
    Ceiling,
    Change,
    Errors,
    Estimate,
    Knee,
    Limit,
    Point,
    Run,
    SloResult,
    Verdict,
)

LEVELS = (1, 5, 10, 20, 40, 80, 160)
SECONDS = 5.0
BASE = 0.0556  # the mean response time without a queue


def about(value: float, relative: float = 0.01) -> Estimate:
    return Estimate(value=value, low=value * (1 - relative), high=value * (1 + 1.2 * relative))


def point(
    deployment: str,
    level: int,
    *,
    throughput: float,
    p50: float,
    p95: float,
    p99: float,
    request: str = "all",
    kinds: dict[str, int] | None = None,
    problems: tuple[str, ...] = (),
    valid: bool = True,
    limit: Limit | None = None,
) -> Point:
    """One point whose quantiles are null where too few requests stand behind them."""
    requests = round(throughput * SECONDS)
    failures = sum((kinds or {}).values())
    succeeded = requests - failures
    times = {
        "p50": about(p50, 0.004) if succeeded >= 6 else None,
        "p95": about(p95, 0.012 if requests > 1000 else 0.03) if succeeded >= 72 else None,
        "p99": about(p99, 0.05) if succeeded >= 368 else None,
        "mean": about(p50 * 1.06, 0.005) if succeeded else None,
    }
    return Point(
        deployment=deployment,
        request=request,
        level=level,
        requests=requests,
        seconds=SECONDS,
        throughput=about(succeeded / SECONDS, 0.02 if level < 5 else 0.008),
        response_time=times,
        service_time=times,
        errors=Errors(rate=failures / requests if requests else 0.0, kinds=kinds or {}),
        resources={"app_cpu": 0.4, "generator_cpu": 0.2, "mock_cpu": 0.1},
        in_flight=float(level),
        problems=list(problems),
        valid=valid,
        limit=limit,
    )


def queueing(deployment: str, knee: float) -> list[Point]:
    """Throughput follows the load up to `knee` users, then stays; the rest waits."""
    points = []
    for level in LEVELS:
        throughput = min(level, knee) / BASE
        wait = max(level - knee, 0) / throughput
        points.append(
            point(
                deployment,
                level,
                throughput=throughput,
                p50=0.0512 + wait,
                p95=0.0803 + wait * 1.02,
                p99=0.151 + wait * 1.05,
            )
        )
    return points


def collapsing(deployment: str) -> list[Point]:
    """Throughput falls beyond 22 users; one level is invalid, the highest one fails in part."""
    seen = {
        1: (17.6, 0.0527, 0.0815, 0.152),
        5: (87.0, 0.0531, 0.0822, 0.154),
        10: (171.0, 0.0540, 0.0836, 0.158),
        20: (322.0, 0.0571, 0.0921, 0.171),
        40: (391.0, 0.0981, 0.162, 0.240),
        80: (298.0, 0.254, 0.431, 0.610),
        160: (131.0, 0.981, 2.31, 3.02),
    }
    points = []
    for level, (throughput, p50, p95, p99) in seen.items():
        broken = level == 80
        points.append(
            point(
                deployment,
                level,
                throughput=throughput,
                p50=p50,
                p95=p95,
                p99=p99,
                kinds={"503": 41, "timeout": 9} if level == 160 else None,
                problems=("the generator was the bottleneck: 96 % of its core",) if broken else (),
                valid=not broken,
                limit=Limit(resource="cpu", utilisation=0.99, ceiling=400.0, why="one busy core")
                if level >= 40
                else None,
            )
        )
    return points


def example() -> Run:
    """Three deployments, seven levels: one stays flat, one falls, one has no knee in range."""
    return Run(
        id="20261120-131500-example",
        name="example",
        started="2026-11-20T13:15:00Z",
        problems=["async-httpx: answered 503 to 41 requests at 160 users"],
        environment={
            "command": "brownout run plan.toml",
            "seed": 7,
            "python": "3.11.9",
            "cpu": "2 x Example CPU at 2.5 GHz",
            "kernel": "Linux 6.1",
            "versions": {"brownout": "0.1.0", "locust": "2.47.1", "fastapi": "0.165.0"},
        },
        deployments={
            "blocking-requests": {"variant": "blocking-requests", "settings": {"threads": 40}},
            "async-httpx": {"variant": "async-httpx", "settings": {"pool": 100}},
            "async-aiohttp": {"variant": "async-aiohttp", "settings": {"pool": 100}},
        },
        plan={
            "name": "example",
            "seed": 7,
            "upstream": {"latency": "p50=50ms p95=80ms p99=150ms"},
            "deployments": {
                "blocking-requests": {"variant": "blocking-requests"},
                "async-httpx": {"variant": "async-httpx"},
                "async-aiohttp": {"variant": "async-aiohttp"},
            },
            "requests": [{"path": "/external-data", "weight": 1}],
            "load": {"model": "closed", "levels": list(LEVELS), "settle": "2s", "measure": "5s"},
            "slos": {"p95": "p95 < 250ms at 40"},
        },
        points=[
            *queueing("blocking-requests", 39.6),
            *collapsing("async-httpx"),
            *queueing("async-aiohttp", 1000.0),
        ],
        knees={
            "blocking-requests": Knee(
                level=39.6,
                low=38.2,
                high=41.1,
                throughput=712.0,
                base_response_time=BASE,
                cycle=BASE,
                beyond="flat",
                slope=1.4e-3,
            ),
            "async-httpx": Knee(
                level=22.4,
                low=20.9,
                high=24.6,
                throughput=391.0,
                base_response_time=0.0573,
                beyond="falls",
                slope=0.018,
                retrograde=Estimate(value=0.665, low=0.601, high=0.702),
            ),
            "async-aiohttp": Knee(level=None, low=150.0, base_response_time=BASE, cycle=BASE),
        },
        slos=[
            SloResult(
                name="p95",
                text="p95 < 250ms at 40",
                deployment=name,
                status="met",
                measured=about(value),
                why=f"p95 at 40 users is {value * 1000:.1f} ms, below 250 ms.",
            )
            for name, value in (("blocking-requests", 0.0803), ("async-aiohttp", 0.0803))
        ]
        + [
            SloResult(
                name="calm",
                text="errors < 0.1%",
                deployment="async-httpx",
                status="missed",
                measured=Estimate(value=0.0763, low=0.057, high=0.1),
                why="7.6 % of the requests fail at 160 users.",
            ),
            SloResult(
                name="p99",
                text="p99 < 200ms at 1",
                deployment="async-httpx",
                status="unresolved",
                why="p99 at 1 user needs 368 successful requests and has 88.",
            ),
        ],
    )


def changed(run: Run, alter: Callable[[Point], Point]) -> Run:
    """The run with each of its points altered."""
    return run.model_copy(update={"points": [alter(p) for p in run.points]})


def many(count: int) -> Run:
    """`count` deployments whose knees are spread over the levels."""
    names = [f"threads[{10 * (index + 1)}]" for index in range(count)]
    levels = [9.7 * (index + 1) for index in range(count)]
    return example().model_copy(
        update={
            "points": [p for name, n in zip(names, levels, strict=True) for p in queueing(name, n)],
            "deployments": {name: {"variant": "blocking-requests"} for name in names},
            "knees": {
                name: Knee(level=n, low=n * 0.97, high=n * 1.03, throughput=n / BASE, beyond="flat")
                for name, n in zip(names, levels, strict=True)
            },
            "slos": [],
            "problems": [],
        }
    )


def single_level() -> Run:
    """One deployment at one level, with too few requests for a p99."""
    only = point("mine", 10, throughput=40.0, p50=0.25, p95=0.31, p99=0.4)
    return example().model_copy(
        update={
            "points": [only],
            "deployments": {"mine": {"url": "http://127.0.0.1:9000"}},
            "knees": {"mine": Knee(level=None)},
            "slos": [],
            "problems": [],
        }
    )


def renamed(run: Run, old: str, new: str) -> Run:
    """The run with one deployment called otherwise."""
    return run.model_copy(
        update={
            "points": [
                p.model_copy(update={"deployment": new}) if p.deployment == old else p
                for p in run.points
            ],
            "deployments": {new if n == old else n: how for n, how in run.deployments.items()},
            "knees": {new if n == old else n: knee for n, knee in run.knees.items()},
            "slos": [
                s.model_copy(update={"deployment": new}) if s.deployment == old else s
                for s in run.slos
            ],
        }
    )


def moving(run: Run, deployment: str, states: dict[int, str]) -> Run:
    """The run with the states of some levels of one deployment."""
    return changed(
        run,
        lambda p: (
            p.model_copy(update={"steady": states.get(p.level, "steady")})
            if p.deployment == deployment
            else p
        ),
    )


RATES = (200, 400, 600, 800, 1000)


def arriving(deployment: str, capacity: float) -> list[Point]:
    """The open model: response times grow towards the capacity and have no end beyond it."""
    points = []
    for rate in RATES:
        unstable = rate > capacity
        wait = 0.0 if unstable else 0.02 * (rate / capacity) ** 8
        found = point(
            deployment,
            rate,
            throughput=min(rate, capacity),
            p50=0.0512 + wait,
            p95=0.0803 + 6 * wait,
            p99=0.151 + 9 * wait,
        )
        service = {"p50": about(0.0512), "p95": about(0.081), "p99": about(0.152)}
        problem = f"unstable: {capacity:.0f}/s answered of {rate:,}/s asked"
        altered = {
            "model": "open",
            "service_time": service,
            "steady": "over-saturated" if unstable else "steady",
            "response_time": (
                dict.fromkeys(found.response_time) if unstable else found.response_time
            ),
            "problems": [problem] if unstable else [],
        }
        points.append(found.model_copy(update=altered))
    return points


def open_model() -> Run:
    """Two deployments at rates: one is unstable from 800/s on, one follows."""
    names = ("blocking-requests", "async-aiohttp")
    run = example()
    return run.model_copy(
        update={
            "points": [*arriving(names[0], 716.0), *arriving(names[1], 1830.0)],
            "deployments": {name: run.deployments[name] for name in names},
            "plan": run.plan | {"load": {"model": "open", "levels": list(RATES)}},
            "knees": {
                names[0]: Knee(
                    level=716.0,
                    low=708.0,
                    high=723.0,
                    throughput=716.0,
                    base_response_time=BASE,
                    beyond="flat",
                ),
                names[1]: Knee(level=None, low=950.0, base_response_time=BASE),
            },
            "problems": [],
            "slos": [],
        }
    )


def searched() -> Run:
    """A search for the capacity of two deployments."""
    run = example()
    return run.model_copy(
        update={
            "capacities": {
                "blocking-requests": Capacity(
                    level=78,
                    low=75.0,
                    high=82.0,
                    slo="p95",
                    seconds=48.0,
                    why="p95 < 150ms holds at 78 users and not at 82",
                ),
                "async-httpx": Capacity(
                    level=None, slo="calm", seconds=21.0, why="errors < 0.1% fails at 1 user"
                ),
                "async-aiohttp": Capacity(
                    level=160,
                    above=True,
                    seconds=30.0,
                    why="every SLO holds at 160 users, the highest level allowed",
                ),
            }
        }
    )


def judged() -> Run:
    """The example as judged by a baseline that was faster in one deployment."""
    ratio = Estimate(value=1.2, low=1.178, high=1.223)
    changes = [
        Change(metric="p50", level=20, change=Estimate(value=1.1), changed=True),
        Change(metric="p50", level=80, change=Estimate(value=1.25), changed=True),
        Change(metric="p99", level=20, change=Estimate(value=1.01), changed=False),
        Change(metric="errors", level=80, change=Estimate(value=0.034), changed=True),
    ]
    verdicts = [
        Verdict(
            verdict="WORSE",
            method="stored",
            a="blocking-requests",
            b="blocking-requests",
            metric="p95",
            level=160,
            margin=0.05,
            ratio=ratio,
            minimum_detectable_change=0.063,
            sentence="blocking-requests against its baseline: WORSE. p95 at 160 users is +20 %.",
            problems=["the baseline is drifting at 160 users"],
            changes=changes,
        ),
        Verdict(
            verdict="INVALID",
            method="stored",
            a="old",
            b="async-aiohttp",
            metric="p95",
            level=None,
            margin=0.05,
            sentence="async-aiohttp against old: INVALID. Nothing was measured in the baseline.",
        ),
    ]
    return example().model_copy(update={"verdicts": verdicts})


WAITS = {"blocking-requests": "thread_wait", "async-httpx": "loop_wait"}


def phased(point: Point) -> Point:
    """The point of a service that tells where its time goes."""
    phases = {}
    for name in ("mean", "p50", "p95"):
        if (time := point.response_time.get(name)) is None:
            continue
        upstream = min(time.value, 0.078 if name == "p95" else 0.0505) * 0.97
        own = min(0.0009, (time.value - upstream) * 0.6)
        left = time.value - upstream - own
        wait = WAITS.get(point.deployment, "pool_wait")
        phases[name] = {
            **dict.fromkeys(("pre_app", "thread_wait", "pool_wait", "connect", "loop_wait"), 0.0),
            "pre_app": 0.1 * left,
            wait: 0.87 * left,
            "upstream": upstream,
            "own": own,
            "rest": 0.03 * left,
        }
    return point.model_copy(update={"phases": phases})


def explained() -> Run:
    """The example with phases, limits and ceilings; one deployment told nothing of itself."""
    threads = Limit(
        resource="threads",
        utilisation=0.997,
        ceiling=769.0,
        why="thread pool: 40 of 40 threads busy, 118 requests waiting; 40/0.052 s = 769/s is the "
        "ceiling",
        next="with more threads the next ceiling is CPU, at 1,150/s",
        evidence=[
            ("threads busy", "39.9 of 40"),
            ("requests waiting for a thread", "118"),
            ("loop lag", "0.4 ms"),
            ("CPU of the service", "0.61 of 1 core"),
        ],
        source="telemetry",
    )
    slots = Limit(
        resource="concurrency-limit",
        why="40 of something: never more than 40 calls were in flight at the upstream",
        evidence=[("calls in flight at the upstream, at most", "40")],
    )

    def limited(point: Point) -> Point:
        if point.deployment == "async-aiohttp":
            return point.model_copy(update={"limit": slots if point.level == 160 else None})
        bound = point.deployment == "blocking-requests" and point.level >= 40
        return phased(point.model_copy(update={"limit": threads}) if bound else point)

    run = changed(example(), limited)
    knees = run.knees | {
        "blocking-requests": run.knees["blocking-requests"].model_copy(update={"limit": "threads"}),
        "async-httpx": run.knees["async-httpx"].model_copy(update={"limit": "cpu"}),
    }
    ceilings = {
        "blocking-requests": [
            Ceiling(resource="threads", throughput=769.0, how="40 threads / 52.0 ms"),
            Ceiling(resource="cpu", throughput=1150.0, how="1 core / 0.87 ms of CPU"),
            Ceiling(resource="pool", throughput=9800.0, how="510 connections / 52.0 ms"),
        ],
        "async-httpx": [
            Ceiling(resource="cpu", throughput=402.0, how="1 core / 2.49 ms of CPU"),
            Ceiling(resource="pool", throughput=1923.0, how="100 connections / 52.0 ms"),
        ],
        "async-aiohttp": [Ceiling(resource="upstream", throughput=3200.0, how="160 / 50.0 ms")],
    }
    return run.model_copy(update={"knees": knees, "ceilings": ceilings})
