"""CPU of a stage, as read at the barriers: of a request, in the window, and the cores in use."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.analysis.causes.observations import observations
from loadtests.analysis.inputs import cpu
from loadtests.analysis.inputs.resources import resources
from loadtests.analysis.points import points
from loadtests.analysis.verdicts.blocks import block
from loadtests.analysis.verdicts.config import ComparisonConfig
from loadtests.analysis.verdicts.interleaved import verdict
from loadtests.recording.messages import ProcessUsage, Rest, Usage
from tests.support.simulated_engine import SimulatedEngine, constant, record, stage, threads

EACH = 0.001  # seconds of CPU for a request


def played(number=0, level=40, servers=10, time=0.05, **changed):
    engine = SimulatedEngine({"a": threads(servers, constant(time))}, seed=number)
    return record(engine, stage(number, "a", level, **changed))


def used(*processes, name="a", rest=0.0, seconds=8.0, rested=10.0, number=0):
    """
    Usage by processes (role, seconds of CPU, of these on one core).

    Args:
        rest: cores that the deployment uses without load.
    """
    return Usage(
        stage=number,
        seconds=seconds,
        processes={
            name: {
                pid: ProcessUsage(role=role, cpu=cpu, busiest=busiest)
                for pid, (role, cpu, busiest) in enumerate(processes, 1)
            }
        },
        rss={name: 60_000_000},
        rest={name: Rest(seconds=rested, cpu=rest * rested)},
    )


def python(*each):
    """Processes of one role, each on one core at a time."""
    return [("python3.12/python3.12", cpu, cpu) for cpu in each]


def test_cpu_of_a_request_is_that_of_the_stage_without_the_rest_over_all_its_requests():
    one = played()
    count = cpu.requests(one)
    window = sum(part.started for part in one.slices if part.index >= 8)
    assert count > window  # those of the settling time count as well
    one.usage = used(*python(EACH * count + 0.02 * 8.0), rest=0.02)
    assert cpu.resting("a", [one]) == pytest.approx(0.02)
    assert cpu.per_request("a", [one], 0.02) == pytest.approx(EACH)


def test_requests_that_began_after_the_window_share_its_cpu():
    one = played()
    recorded = sum(part.started for part in one.slices)
    one.dones = {name: done.model_copy(update={"beyond": 60}) for name, done in one.dones.items()}
    one.usage = used(*python(EACH * (recorded + 60)))
    assert cpu.per_request("a", [one], 0.0) == pytest.approx(EACH)


def test_cores_in_the_window_are_what_its_requests_take_and_the_rest():
    one = played()  # 10 threads of 50 ms: 200/s
    one.usage = used(*python(EACH * cpu.requests(one) + 0.02 * 8.0), rest=0.02)
    assert resources([one], [])["app_cpu"] == pytest.approx(0.02 + 200 * EACH, rel=0.01)


def test_a_saturated_core_is_fully_used_though_the_stage_has_edges():
    """Users that start one after the other, and the last answers, leave the core idle."""
    one = played(servers=1, time=0.005, level=40, settle=1.0, measure=1.0)
    one.usage = used(*python(0.005 * cpu.requests(one)), seconds=2.6, rested=0.0)
    assert resources([one], [])["app_cpu"] == pytest.approx(1.0, abs=0.01)


def test_a_short_rest_gives_no_information():
    one = played()
    one.usage = used(*python(1.0), rest=0.5, rested=0.1)
    assert cpu.resting("a", [one]) is None


def test_a_stage_without_requests_has_no_cpu_of_a_request():
    one = played(time=30.0)
    one.slices = []
    one.usage = used(*python(1.0))
    assert cpu.per_request("a", [one], 0.0) is None
    assert cpu.cores("a", [one]) is None


def test_cpu_of_an_unread_stage_comes_from_samples():
    one = played()
    samples = [
        {"at": float(at), "processes": {"a": {"cpu": 0.7, "rss": 5e7}}} for at in range(999, 1012)
    ]
    assert resources([one], samples)["app_cpu"] == pytest.approx(0.7)


def test_a_block_has_its_cpu_and_memory_before_any_sample_is_written():
    one = played(settle=0.25, measure=1.25)
    assert "cpu" not in block(one, []).values
    one.usage = used(*python(EACH * cpu.requests(one)), seconds=1.7)
    values = block(one, []).values
    assert values["cpu"] == pytest.approx(EACH)
    assert values["memory"] == 60_000_000


def compared(each, times, rounds=6):
    """A comparison by CPU: seconds of CPU a request, and response times, of A and of B."""
    blocks = []
    for number in range(8 * rounds):
        side = (0, 1, 1, 0, 1, 0, 0, 1)[number % 8]
        name = "ab"[side]
        engine = SimulatedEngine({name: threads(400, constant(times[side]))}, seed=number)
        one = record(engine, stage(number, name, 40, settle=0.25, measure=1.25))
        # Some per mille of noise: nothing is known to the last digit.
        spent = each[side] * cpu.requests(one) * (1 + 0.002 * math.sin(7 * number))
        one.usage = used(*python(spent), name=name, seconds=1.7)
        blocks.append(block(one, []))
    terms = ComparisonConfig(a="a", b="b", metric="cpu", at=(40,), round_seconds=15.0)
    return verdict(blocks, terms)


def test_a_service_that_answers_six_times_as_slowly_with_the_same_cpu_is_equivalent():
    found = compared((EACH, EACH), (0.08, 0.5))
    assert found.verdict == "EQUIVALENT"
    assert found.ratio.value == pytest.approx(1.0, abs=0.002)


def test_two_per_cent_more_cpu_are_seen_in_six_rounds():
    found = compared((EACH, 1.02 * EACH), (0.08, 0.08))
    assert found.ratio.value == pytest.approx(1.02, abs=0.002)
    assert found.ratio.low > 1


def stages(*of):
    """Records with one usage each."""
    records = []
    for number, processes in enumerate(of):
        one = played(number)
        one.usage = used(*processes, number=number)
        records.append(one)
    return records


def test_four_workers_can_use_four_cores_and_two_where_there_are_two():
    workers = python(2.0, 1.9, 2.1, 2.0)
    idle = [("python3.12", 0.01, 0.01), *python(0.002)]  # the first process, and a tracker
    assert cpu.processors("a", stages([*idle, *workers]), 8).usable == pytest.approx(4, rel=0.02)
    assert cpu.processors("a", stages([*idle, *workers]), 2).usable == 2


def test_workers_count_that_only_more_load_has_set_to_work():
    few, all_of_them = python(0.8, 0, 0, 0), python(2.0, 2.0, 2.0, 2.0)
    assert cpu.processors("a", stages(few, all_of_them), 4).usable == pytest.approx(4)


def test_a_process_whose_threads_run_at_the_same_time_can_use_several_cores():
    found = cpu.processors("a", stages([("server", 6.0, 1.6)]), 4)
    assert found.usable == pytest.approx(3.75)
    assert found.busiest[0] == pytest.approx(1.6 / 6)


def test_the_role_that_is_full_first_limits_all_of_them():
    """A proxy that takes a fifth of the CPU in front of one Python process."""
    found = cpu.processors("a", stages([("nginx", 1.0, 1.0), *python(4.0)]), 4)
    assert found.usable == pytest.approx(1.25)
    assert found.busiest[0] == pytest.approx(0.8)


def observed(records, cores=4):
    samples = [
        {"at": 900.0 + at, "processes": {"a": {"cpu": 0.3, "affinity": list(range(cores))}}}
        for at in range(300)
    ]
    return observations(points(records, samples), records, samples, {}, {"a": 1})["a"]


def test_four_workers_at_a_quarter_of_a_core_each_leave_three_quarters_of_four_cores():
    (found,) = observed(stages(python(2.0, 2.0, 2.0, 2.0)))
    assert found.usable == pytest.approx(4)
    assert found.busiest == pytest.approx(found.cpu / 4)
    assert found.cpu_each == pytest.approx(8.0 / cpu.requests(played()))


def test_one_process_that_is_full_is_seen_among_others_that_are_not():
    (found,) = observed(stages(python(8.0, 1.0, 1.0, 1.0)))
    assert found.busiest == pytest.approx(found.cpu * 8 / 11)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["python3.12", "python3.12/python3.12", "nginx"]),
                st.floats(0, 100),
                st.floats(0, 1),
            ),
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(1, 16),
)
def test_usable_cores_are_some_of_those_that_there_are_whatever_was_used(levels, available):
    one = played()
    for processes in levels:
        one.usage = used(*[(role, cpu, cpu * part) for role, cpu, part in processes])
        found = cpu.processors("a", [one], available)
        if found is not None:
            assert 0 < found.usable <= available
            assert all(0 <= share <= 1 for share in found.busiest.values())
