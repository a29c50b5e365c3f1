"""What experiments make of the limits that a run names: a black box, its mock's ledger, its CPU."""

from dataclasses import replace

import pytest

from loadtests.analysis.causes.experiments import Service, _free, _held, _rose
from loadtests.analysis.causes.experiments import _verdict as verdict_of
from loadtests.analysis.inputs.records import Header, Record
from loadtests.analysis.runs import run_of
from loadtests.analysis.summary import sentence
from loadtests.recording.messages import Probe, Raised
from loadtests.results import Ceiling, Estimate, Limit, Outside
from loadtests.schedules.why import MEASURE, SCALE, SETTLE, TURNS
from tests.support.observed import level
from tests.support.simulated_engine import SimulatedEngine, Station, System, constant, record, stage
from tests.support.simulated_upstream import Ledger

CALL = 0.05
LEVELS = (1, 5, 10, 20, 40)


def slots(count):
    """A system in which `count` calls can run at a time, by threads or connections."""
    return lambda scale: System([Station(constant(scale * CALL), count)])


def hidden(block):
    """A call that blocks nobody, after something that blocks everybody."""
    return lambda scale: System([Station(constant(block), 1), Station(constant(scale * CALL))])


def waiting_calls(every, scale):
    """A system where only the end of a request is its call; the next one comes a little later."""
    return [(end - 0.99 * scale * CALL, end) for _, end in every]


def played(make, *, level, cpu=0.2, raised=None, table=None):
    """
    The record of a ladder of "a", and of the windows after it.

    Args:
        make: the system with the upstream's delays times a scale.
        cpu: cores that it uses beyond its knee.
        raised: the system with a larger limit.
    """
    ledger, stages, probes, samples, clock = Ledger(), [], [], [], 1000.0

    def play(number, users, system, probe=None, scale=1.0):
        nonlocal clock, samples
        engine = SimulatedEngine({"a": system}, number, clock=clock)
        length = {"settle": SETTLE[0], "measure": MEASURE} if probe else {}
        planned = stage(number, "a", users, **length).model_copy(update={"probe": probe})
        one = record(engine, planned)
        clock = engine.clock + 1.0
        samples += ledger.samples(
            one, waiting_calls(engine.calls, scale), cpu if users > 3 else 0.05
        )
        (probes if probe else stages).append(one)

    for number, users in enumerate(LEVELS):
        play(number, users, make(1.0))
    for index, turn in enumerate(TURNS):
        scale = (1.0, SCALE)[turn]
        play(len(LEVELS) + index, level, make(scale), Probe(pair=index // 2, scale=scale), scale)
    if raised:
        larger = Raised(name="threads", before=4, now=6)
        for index in range(3):
            probe = Probe(pair=4 + index, raised=larger)
            play(len(LEVELS) + len(TURNS) + index, level, raised(1.0), probe)
    plan = {"deployments": {"a": table or {}}, "load": {"levels": list(LEVELS)}}
    header = Header(id="x", name="x", plan=plan, deployments={})
    return Record(header, stages=stages, probes=probes, samples=samples, status="complete")


def without_probes(record):
    begins = record.probes[0].begun.at
    samples = [one for one in record.samples if one["at"] < begins]
    return replace(record, probes=[], samples=samples)


def resources(run):
    return {point.limit.resource for point in run.of("a") if point.limit}


def test_calls_at_a_time_are_confirmed_where_throughput_follows_the_upstream():
    run = run_of(played(slots(4), level=12))
    [one] = run.experiments
    assert (one.tested, one.resource, one.verdict, one.level) == (
        "concurrency-limit",
        "concurrency-limit",
        "confirmed",
        12,
    )
    assert one.elasticity.low < -0.9 < one.elasticity.high or one.elasticity.low < -1.0
    assert "Confirmed by experiment: with an upstream 20 % faster throughput rose 2" in sentence(
        run, "a"
    )
    assert resources(run) == {"concurrency-limit"}


def test_a_block_that_does_not_call_the_upstream_is_found_in_a_black_box():
    record = played(hidden(0.02), level=12)
    assert resources(run_of(without_probes(record))) <= {"unknown", "concurrency-limit"}
    run = run_of(record)
    [one] = run.experiments
    assert one.resource == "loop"
    assert -0.1 < one.elasticity.value < 0.1
    assert resources(run) == {"loop"}
    assert run.knees["a"].limit == "loop"
    text = sentence(run, "a")
    assert "Something holds requests one at a time that does not call the upstream, for 20" in text
    assert "with an upstream 20 % faster throughput stayed about the same" in text


def test_a_loop_blocked_by_its_own_calls_differs_from_other_blocking():
    run = run_of(played(slots(1), level=5))
    [one] = run.experiments
    assert one.resource == "loop"
    assert "its own calls of the upstream block it" in sentence(run, "a")


def test_a_core_that_is_used_up_is_confirmed_where_throughput_does_not_follow():
    cpu = lambda scale: System([Station(constant(0.01), 1), Station(constant(scale * CALL))])  # noqa: E731
    run = run_of(played(cpu, level=14, cpu=0.99))
    [one] = run.experiments
    assert (one.tested, one.verdict) == ("cpu", "confirmed")


def test_a_limit_that_was_raised_without_effect_is_doubtful():
    table = {"variant": "blocking-requests", "settings": {"threads": 4}}
    run = run_of(played(slots(4), level=12, raised=slots(4), table=table))
    first, second = run.experiments
    assert (first.tested, first.verdict) == ("threads", "confirmed")
    assert second.verdict == "refuted"
    assert second.ratio.high < 1.1 < second.predicted
    assert "Doubtful by experiment" in sentence(run, "a")


def test_a_limit_that_was_raised_is_held_against_the_prediction():
    table = {"variant": "blocking-requests", "settings": {"threads": 4}}
    run = run_of(played(slots(4), level=12, raised=slots(6), table=table))
    _, second = run.experiments
    assert second.predicted == pytest.approx(1.5)
    assert second.ratio.value == pytest.approx(1.5, rel=0.1)
    assert second.verdict == "confirmed"
    assert "with threads = 6 instead of 4 throughput rose" in sentence(run, "a")


def test_windows_of_an_experiment_count_for_no_point():
    record = played(slots(4), level=20)
    run = run_of(record)
    without = run_of(without_probes(record))
    plain = [point.model_copy(update={"limit": None}) for point in run.points]
    assert plain == [point.model_copy(update={"limit": None}) for point in without.points]
    assert without.experiments == []
    assert run.ceilings == without.ceilings


def test_windows_that_scatter_confirm_nothing_though_the_expected_lies_in_their_interval():
    now = level(12, 80, upstream={"in_flight": 3.9})
    threads = Ceiling(resource="threads", throughput=80.0, how="-", capacity=4)
    service = Service("a", [], None, [threads], {})
    limit = Limit(resource="threads", why="-", source="telemetry")
    wide = Estimate(value=2.3, low=-14.0, high=18.0)
    assert verdict_of(service, limit, wide, now, SCALE) == "cannot tell"
    part = Estimate(value=-0.3, low=-0.4, high=-0.2)
    third = level(12, 80, upstream={"in_flight": 1.3})
    assert verdict_of(service, limit, part, third, SCALE) == "confirmed"


def test_a_loop_that_waits_for_events_is_not_named_as_blocked():
    """Threads that go on after the answer hold requests as well, and call no upstream."""
    now = level(12, 15.0, black_box=True)
    resource, _ = _free(now)
    assert resource == "loop"
    outside = Outside(looks=400, loops=1, main={"events": 0.9, "computes": 0.1})
    watched = replace(now, point=now.point.model_copy(update={"outside": outside}))
    resource, why = _free(watched)
    assert resource == "concurrency-limit"
    assert why.endswith("a lock, another service, or work after the answer")
    # A lock around the call: one at a time, while the loop has nothing to do.
    [one, other] = [_held(each, 1.0) for each in (level(12, 20.0, black_box=True), watched)]
    assert one is not None
    assert one[0] == "loop"
    assert other == (
        "concurrency-limit",
        "0.75 requests at a time, held while they call the upstream",
    )


def test_threads_that_were_seen_are_not_refuted_for_what_they_do_without_calls():
    """Each of six threads is held for 0.4 s, of which the call takes 0.1 s."""
    outside = Outside(looks=400, loops=1, main={"events": 1.0}, threads=10, busy=6, most=6)
    now = level(12, 15.0, call=0.1, black_box=True)
    now = replace(now, point=now.point.model_copy(update={"outside": outside}))
    service, limit = Service("a", [], None, [], {}), Limit(resource="threads", why="-")
    part = Estimate(value=-0.13, low=-0.25, high=-0.02)
    assert verdict_of(service, limit, part, now, SCALE) == "confirmed"
    unsure = Estimate(value=0.0, low=-0.31, high=0.18)
    assert verdict_of(service, limit, unsure, now, SCALE) == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.95, 1.629, "throughput changed by -5 % to 62.9 %"),
        (0.97, 1.04, "throughput stayed about the same (-3 % to 4 %)"),
        (1.12, 1.2, "throughput rose 16 % (12 % to 20 %)"),
    ],
)
def test_an_interval_that_is_wide_does_not_say_that_nothing_changed(low, high, said):
    assert _rose(Estimate(value=round((low * high) ** 0.5, 2), low=low, high=high)) == said
