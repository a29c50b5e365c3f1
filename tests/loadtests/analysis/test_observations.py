"""What samples say of a level: sums over processes, growth of counts, and nonsense left out."""

import pytest

from loadtests.analysis.causes.observations import observations
from loadtests.analysis.inputs.ledgers import with_ledgers
from loadtests.analysis.points import points
from tests.support.simulated_engine import SimulatedEngine, constant, record, stage, threads

BEGIN, SECONDS = 1002.0, 5  # of the window of the engine's first stage


def gauges(at, **changed):
    """Gauges of a process with 40 threads that answers 100 requests a second."""
    elapsed = at - 900
    return {
        "at": at - 0.2,
        "threads": {"total": 40, "busy": 39.0, "waiting": 12.0},
        "loop": {"lag": 0.002, "worst": 0.01, "cpu": 0.3 * elapsed},
        "pools": [{"client": "requests", "limit": 40, "open": 40, "used": 39.0, "waiting": 0.0}],
        "in_flight": 52.0,
        "gc": {"collections": 3, "seconds": 0.01 * elapsed},
        "cpu": 0.5 * elapsed,
        "counts": {
            "requests": 100 * elapsed,
            "calls": 200 * elapsed,
            "call_seconds": 10 * elapsed,
            "retried": 20 * elapsed,
        },
    } | changed


def ledger(at, **changed):
    elapsed = at - 900
    return {
        "epoch": "e",
        "elapsed": elapsed,
        "arrivals": 200 * elapsed,
        "in_flight": {"seconds": 10 * elapsed, "peak": 12},
        "connections": {"accepted": 20 * elapsed, "open": 10},
        "answers": {"200": 180 * elapsed, "429": 20 * elapsed},
        "refused": {"token_bucket": 20 * elapsed},
        "queue": {"servers": 20, "busy_seconds": 10 * elapsed, "waiting": 3},
        "asked": {"count": 180 * elapsed, "total": 9 * elapsed},
        "queued": {"count": 180 * elapsed, "total": 1.8 * elapsed},
        "service": {"count": 180 * elapsed, "total": 9 * elapsed},
        "delivered": {"count": 180 * elapsed, "total": 10.8 * elapsed},
    } | changed


def sample(at, processes=None, mock=None, app=None):
    return {
        "at": at,
        "processes": {"a": {"cpu": 0.6, "affinity": [1]} | (app or {})},
        "gauges": {"a": {"7": gauges(at)} if processes is None else processes},
        "mock": ledger(at) if mock is None else mock,
    }


def observed(samples=None, **options):
    engine = SimulatedEngine({"a": threads(5, constant(0.05))})
    played = [record(engine, stage(0, "a", 10, settle=2.0, measure=float(SECONDS)))]
    taken = with_ledgers(samples or [sample(at) for at in range(1000, 1010)])
    workers = options.pop("workers", {"a": 1})
    (found,) = observations(points(played, taken), played, taken, {}, workers)["a"]
    return found


def test_gauges_of_one_process_are_read():
    service = observed().gauges
    assert (service.processes, service.threads.total, service.threads.waiting) == (1, 40, 12)
    assert service.fullest.used == 39
    assert service.lag == 0.002
    assert service.loop_cpu == pytest.approx(0.3)
    assert service.cpu == pytest.approx(0.5)
    assert service.calls == pytest.approx(2)
    assert service.call == pytest.approx(0.05)
    assert service.retried == pytest.approx(0.2)
    assert service.clients is None  # it did not say


def test_seconds_are_of_the_traced_requests_and_counts_of_all():
    traced = {"traced": 1.0, "traced_calls": 2.0, "call_seconds": 0.14, "thread_seconds": 0.2}
    samples = [
        sample(
            at,
            {
                "7": gauges(at)
                | {
                    "counts": {"requests": 100.0 * at, "calls": 200.0 * at}
                    | {name: value * at for name, value in traced.items()}
                }
            },
        )
        for at in range(1000, 1010)
    ]
    service = observed(samples).gauges
    assert service.calls == pytest.approx(2)
    assert service.call == pytest.approx(0.07)
    assert service.thread == pytest.approx(0.2)
    assert service.background is None  # it did not say


def test_gauges_of_the_mock_are_read():
    up = observed().upstream
    assert up.calls == pytest.approx(200)
    assert up.in_flight == pytest.approx(10)
    assert up.busy == pytest.approx(0.5)
    assert (up.servers, up.peaks) == (20, (12,) * SECONDS)
    assert (up.service, up.queued, up.stay) == pytest.approx((0.05, 0.01, 0.06))
    assert (up.refused, up.failing, up.connections) == pytest.approx((0.1, 0.1, 0.1))


def test_processes_are_taken_together_and_the_latest_loop_counts():
    samples = [
        sample(
            at,
            {
                "7": gauges(at),
                "8": gauges(at, loop={"lag": 0.2, "worst": 0.5, "cpu": 0.1 * (at - 900)}),
            },
        )
        for at in range(1000, 1010)
    ]
    found = observed(samples)
    assert (found.workers, found.gauges.threads.total, found.gauges.fullest.limit) == (2, 80, 80)
    assert found.gauges.lag == pytest.approx(0.2)
    assert found.gauges.loop_cpu == pytest.approx(0.3)
    assert found.cpu == pytest.approx(1.0)


def test_a_process_that_ends_leaves_the_gauges_of_the_others():
    samples = [
        sample(at, {"7": gauges(at)} | ({"8": gauges(at)} if at < 1005 else {}))
        for at in range(1000, 1010)
    ]
    service = observed(samples).gauges
    assert service.calls == pytest.approx(2)
    assert service.processes == 2


def test_a_restarted_process_counts_from_its_start():
    samples = [
        sample(at, {"7": gauges(at) if at < 1005 else gauges(at, cpu=0.5 * (at - 1004))})
        for at in range(1000, 1010)
    ]
    assert observed(samples).gauges.cpu == pytest.approx(0.5)


def test_a_service_without_telemetry_is_seen_from_outside():
    found = observed([sample(at, {}) for at in range(1000, 1010)], workers={"a": 3})
    assert found.gauges is None
    assert (found.cpu, found.cores, found.workers) == (pytest.approx(0.6), 1, 3)


@pytest.mark.parametrize(
    ("part", "nonsense"),
    [
        ("threads", {"total": 40, "busy": 400, "waiting": 0}),
        ("threads", {"total": 0, "busy": 0, "waiting": 0}),
        ("threads", {"total": "many", "busy": 1, "waiting": 0}),
        ("threads", {"busy": -1}),
        ("threads", [40, 1]),
    ],
)
def test_only_nonsensical_parts_are_left_out(part, nonsense):
    samples = [sample(at, {"7": gauges(at, **{part: nonsense})}) for at in range(1000, 1010)]
    service = observed(samples).gauges
    assert service.threads is None
    assert service.cpu == pytest.approx(0.5)


@pytest.mark.parametrize("nonsense", [None, 3, "x", [], {"7": 3}, {"7": {"at": "now"}}])
def test_unreadable_gauges_are_missing(nonsense):
    samples = [{**sample(at), "gauges": {"a": nonsense}} for at in range(1000, 1010)]
    assert observed(samples).gauges is None


def test_more_connections_in_use_than_there_are_is_nonsense():
    pools = [{"client": "httpx", "limit": 10, "open": 1, "used": 99, "waiting": 0}]
    samples = [sample(at, {"7": gauges(at, pools=pools)}) for at in range(1000, 1010)]
    assert observed(samples).gauges.pools == ()


def test_a_ledger_of_another_version_says_less():
    old = [
        sample(at, mock={"epoch": "e", "elapsed": at - 900, "in_flight": {"seconds": 1.0 * at}})
        for at in range(1000, 1010)
    ]
    assert observed(old).upstream is None
    strange = [sample(at, mock=ledger(at, queue="full", peak=None)) for at in range(1000, 1010)]
    assert observed(strange).upstream.servers is None


def test_a_mock_that_was_restarted_counts_up_to_there():
    samples = [
        sample(at, mock=ledger(at, epoch="e" if at < 1005 else "f")) for at in range(1000, 1010)
    ]
    assert observed(samples).upstream.calls == pytest.approx(200)


def test_use_while_others_are_loaded_is_the_rest_of_a_service():
    engine = SimulatedEngine({"a": threads(5, constant(0.05)), "b": threads(5, constant(0.05))})
    played = [
        record(engine, stage(number, name, 10, settle=2.0, measure=5.0))
        for number, name in enumerate("abb")
    ]
    samples = [sample(at, {}, app={"cpu": 0.6 if at < 1009 else 0.02}) for at in range(1000, 1022)]
    taken = with_ledgers(samples)
    found = observations(points(played, taken), played, taken, {}, {})["a"][0]
    assert found.idle == pytest.approx(0.02)
