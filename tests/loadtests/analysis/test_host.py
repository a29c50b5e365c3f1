"""The host: what others took of the cores is found, and what is ours is nobody else's."""

import pytest

from loadtests.analysis.points import points
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

PLAYED = stage(0, "app", 20)
BEGIN = 1000.0


def process(cpu, *cores, wait=0.0, runs=1000.0):
    return {"cpu": cpu, "affinity": list(cores), "wait": wait, "runs": runs}


def judged(
    *, cores, stolen=(0.0, 0.0), harness=0.02, ports=None, quota=None, others=(), **processes
):
    """The point of a good stage while the machine was so: two cores, one for the app."""
    sample = {
        "cores": cores,
        "worked": [share - lost for share, lost in zip(cores, stolen, strict=True)],
        "stolen": stolen,
        "processes": processes,
        "harness": process(harness, 0),
        "ports": ports,
        "quota": quota,
        "others": others,
    }
    samples = [{"at": BEGIN + second} | sample for second in range(9)]
    made = record(SimulatedEngine({"app": threads(40, exponential(0.05))}), PLAYED)
    return next(p for p in points([made], samples) if p.request == "all")


OURS = {"generator": process(0.2, 0), "mock": process(0.1, 0), "app": process(0.5, 1)}


def test_a_machine_that_is_busy_with_us_alone_spoils_nothing():
    found = judged(cores=[0.34, 0.55], **OURS)
    assert (found.valid, found.problems) == (True, [])
    full = OURS | {"app": process(0.97, 1)}
    assert judged(cores=[0.34, 1.0], **full).valid


@pytest.mark.parametrize(("name", "valid"), [("mock", False), ("app", True)])
def test_processes_without_descriptors_are_named_and_a_mock_without_invalidates_the_point(
    name, valid
):
    short = OURS | {name: OURS[name] | {"spare_descriptors": 0}}
    found = judged(cores=[0.34, 0.55], **short)
    assert found.valid == valid
    called = {"mock": "the mock upstream", "app": "the deployment"}[name]
    assert found.problems == [
        f"{called} had no file descriptor left: raise the limit of open files (`ulimit -n`)"
    ]
    enough = OURS | {name: OURS[name] | {"spare_descriptors": 1}}
    assert judged(cores=[0.34, 0.55], **enough).problems == []


def test_another_process_that_the_generator_waits_for_is_found_and_named():
    waiting = OURS | {"generator": process(0.2, 0, wait=0.6)}
    found = judged(cores=[1.0, 0.55], **waiting)
    assert not found.valid
    assert found.noisy
    assert found.problems[0].startswith(
        "the machine was busy with something else: other processes took 60 % of a core from the "
        "load generator: throughput can be several times higher"
    )
    assert (found.limit.resource, found.limit.why) == ("host", found.problems[0])


def test_the_process_that_took_the_core_is_named_with_its_id():
    others = [
        {"name": "python3", "pid": 123, "cpu": 0.6, "core": 1},
        {"name": "cc1", "pid": 9, "cpu": 0.3, "core": 0},
    ]
    waits = OURS | {"app": process(0.85, 1, wait=0.5)}
    found = judged(cores=[0.34, 0.95], others=others, **waits)
    assert "from the deployment: python3 (pid 123) used 60 % of core 1: " in found.problems[0]
    nobody = judged(cores=[0.34, 0.95], others=[{"name": "of another version"}], **waits)
    assert (
        "from the deployment: throughput can be" in nobody.problems[0]
    )  # such a sample cannot be read


def test_a_process_that_gives_way_at_once_takes_nothing():
    found = judged(cores=[1.0, 0.55], **OURS)
    assert (found.valid, found.problems, found.noise) == (True, [], {})


def test_cpu_taken_from_a_full_core_widens_the_interval_to_one_side():
    quiet = judged(cores=[0.34, 0.95], **(OURS | {"app": process(0.85, 1)}))
    found = judged(cores=[0.34, 0.95], **(OURS | {"app": process(0.85, 1, wait=0.5)}))
    assert found.valid
    more = found.noise["throughput"]
    assert more == pytest.approx(quiet.throughput.value * 0.09 / 0.91)
    assert found.throughput.low == quiet.throughput.low
    assert found.throughput.high == pytest.approx(quiet.throughput.high + more)
    mean, before = found.response_time["mean"], quiet.response_time["mean"]
    assert mean.low == pytest.approx(before.low - found.noise["mean"])
    assert mean.high == before.high
    assert found.problems[0].startswith("disturbed: other processes took 9 % of a core from the")


@pytest.mark.parametrize("app", [{}, {"app": process(0.002, 1)}])
def test_a_service_that_we_do_not_see_is_not_blamed_for_its_own_work(app):
    found = judged(cores=[0.34, 0.9], **({"generator": OURS["generator"]} | app))
    assert found.valid
    everywhere = {"generator": process(0.2, 0, 1)} | ({"app": process(0.002, 0, 1)} if app else {})
    found = judged(cores=[0.7, 0.9], **everywhere)
    assert found.valid
    assert "processes that brownout did not start used" in found.problems[0]


@pytest.mark.parametrize(
    ("part", "valid", "says"),
    [
        (0.002, True, None),
        (0.068, True, "disturbed: its host took 6.8 % of a core from the deployment"),
        (0.3, False, "the machine was busy with something else: its host took 30 % of a core"),
    ],
)
def test_steal_counts_up_to_its_largest_possible_effect(part, valid, says):
    found = judged(cores=[0.34, 0.55 + part], stolen=[0.0, part], **OURS)
    assert found.valid == valid
    assert [text[: len(says or "")] for text in found.problems] == ([says] if says else [])


def test_generator_and_mock_on_one_core_are_judged_together():
    together = OURS | {"generator": process(0.5, 0), "mock": process(0.42, 0)}
    found = judged(cores=[0.96, 0.55], **together)
    assert not found.valid
    assert "it shares a core with the mock upstream, and together" in found.problems[0]
    apart = together | {"mock": process(0.42, 1)}
    assert judged(cores=[0.54, 0.93], harness=0.02, **apart).valid


def test_ports_that_closed_connections_hold_are_a_note():
    found = judged(cores=[0.34, 0.55], ports={"time_wait": 20_000, "of": 28_232}, **OURS)
    assert found.valid
    assert "20,000 closed connections held a port, of 28,232" in found.problems[0]


def test_samples_of_a_version_that_knew_less_condemn_nothing():
    old = {"generator": {"cpu": 0.2}, "mock": {"cpu": 0.1}, "app": {"cpu": 0.5}}
    assert judged(cores=[1.0, 1.0], **old).problems == []
