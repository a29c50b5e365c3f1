"""The judging of `brownout selfcheck`, and that it ends as it should; its runs are long."""

import math
import os
import subprocess
import sys

import pytest

from loadtests.recording.histograms import Histogram
from loadtests.results import Estimate
from loadtests.selfcheck import ceilings, distribution, generator, pair, sentence, stall, table
from loadtests.selfcheck.bench import Bench, RunFailed, Target, plan
from loadtests.selfcheck.findings import Check, Findings, Limits
from tests.support.brownout_runs import brownout
from tests.support.example_runs import point
from tests.support.servers import scripted_upstream


class Nobody:
    """Watches a run and says nothing."""

    def begins(self, step, number, of, seconds_left):
        pass

    def measured(self, point):
        pass

    def problem(self, text):
        pass


def service(name="A", *, throughput=200.0, p50=0.05, p95=0.08, p99=0.15, **more):
    return point(name, 16, throughput=throughput, p50=p50, p95=p95, p99=p99, **more)


def passed(found):
    return [check.passed for check in found.checks]


INVALID = {"valid": False, "problems": ("the mock was slow",)}


@pytest.mark.parametrize(("value", "good"), [(80, True), (77, True), (74, False), (86, False)])
def test_a_ceiling_is_met_within_five_percent_above_and_below(value, good):
    one = service("threads", throughput=value)
    assert ceilings.judged(one, 8, {"threads": 0.1}).passed == good


def test_a_ceiling_is_not_met_by_an_invalid_point_or_without_the_mocks_delay():
    bad = ceilings.judged(service("threads", throughput=80, **INVALID), 8, {"threads": 0.1})
    assert not bad.passed
    assert "the mock was slow" in bad.measured
    assert not ceilings.judged(service("threads", throughput=80), 8, {}).passed


def test_quantiles_must_be_those_of_the_mock_within_their_intervals_or_half_a_percent():
    one = service()  # intervals of a percent or so
    assert passed(distribution.judged(one, {"p50": 0.0501, "p95": 0.0805, "p99": 0.151})) == [
        True,
        True,
        True,
    ]
    assert passed(distribution.judged(one, {"p50": 0.045, "p95": 0.072, "p99": 0.12})) == [
        False,
        False,
        False,
    ]
    assert passed(distribution.judged(service(**INVALID), {"p50": 0.05, "p95": 1, "p99": 1})) == [
        False,
        False,
        False,
    ]


def test_a_quantile_without_an_interval_must_be_within_half_a_percent():
    one = service()
    times = {**one.response_time, "p99": Estimate(value=0.15)}
    bare = one.model_copy(update={"response_time": times})
    assert passed(distribution.judged(bare, {"p50": 0.05, "p95": 0.08, "p99": 0.1505}))[2]
    assert not passed(distribution.judged(bare, {"p50": 0.05, "p95": 0.08, "p99": 0.152}))[2]


def test_the_same_service_twice_must_not_differ():
    assert passed(pair.judged(service("A"), service("B"))) == [True, True, True]
    slower = service("B", p50=0.06, p95=0.096, throughput=170)
    assert passed(pair.judged(service("A"), slower)) == [False, False, False]
    assert passed(pair.judged(service("A"), service("B", **INVALID))) == [False, False, False]


def test_an_aa_test_with_a_wide_interval_does_not_pass():
    def vague(name):
        one = service(name)
        wide = Estimate(value=0.05, low=0.03, high=0.09)
        return one.model_copy(update={"response_time": {**one.response_time, "p50": wide}})

    found = pair.judged(vague("A"), vague("B")).checks[0]
    assert not found.passed
    assert "too noisy" in found.measured


def test_users_are_in_time_up_to_the_first_crowd_that_is_not():
    found = generator.judged(4000, 0.0003, {25: 0.004, 50: 0.01, 100: 0.03, 200: 0.01})
    assert passed(found) == [True, True]
    assert found.limits == Limits(rate=4000, users=50, floor=0.0003)
    assert passed(generator.judged(300, 0.0003, {25: 0.03})) == [False, False]


def stalled(seconds, rate=stall.RATE):
    """Response times in theory: evenly spaced requests of the window, one stall."""
    times = Histogram()
    rho = rate / stall.CAPACITY
    for number in range(round(rate * stall.WINDOW)):
        into = number / rate - 1
        waits = seconds - (1 - rho) * into if into >= 0 else 0.0
        times.record(stall.ALONE + max(waits, 0.0))
    return times


def test_the_formula_of_the_stall_is_that_of_the_queue():
    assert passed(stall.judged(stalled(1.5), 1.5)) == [True, True]


def test_a_generator_that_waits_with_the_server_does_not_pass_the_stall():
    waiting = Histogram()
    for _ in range(2000):
        waiting.record(stall.ALONE)
    waiting.record(1.5)
    assert passed(stall.judged(waiting, 1.5)) == [False, False]
    assert passed(stall.judged(Histogram(), 1.5)) == [False, False]
    with pytest.raises(RunFailed):
        stall.judged(stalled(1.5), 0.0)


def test_a_machine_is_trusted_if_all_checks_passed():
    good, bad = Check("one", "1", "1", passed=True), Check("other", "1", "2", passed=False)
    limits = Limits(rate=3912.4, users=200, floor=0.0002)
    found = Findings((good,), limits)
    assert found.trusted
    assert "can be trusted" in sentence(found)
    assert "3,900 answers a second" in sentence(found)
    assert "below 2 ms" in sentence(found)
    assert table(found + Findings((bad,))).row_count == 2
    worse = found + Findings((bad,))
    assert not worse.trusted
    assert "cannot be trusted" in sentence(worse)
    assert "Not passed: other." in sentence(worse)
    assert not Findings().trusted


@pytest.mark.processes
def test_a_server_with_other_delays_than_stated_is_found(tmp_path):
    target, delivered = Target("--latency", "uniform(40ms,60ms)"), {}
    load = {"levels": [8], "settle": "250ms", "measure": "1s"}
    played = Bench(tmp_path, Nobody()).play(
        plan("honest", {"known": target.deployment}, load),
        begins=lambda _: target.reset(),
        measured=lambda _: delivered.update(target.ledger()["delivered"]),
    )
    times = played.point("known").response_time["p50"]
    assert delivered["count"] > 8
    assert math.isclose(times.value, delivered["p50"], rel_tol=0.2)
    said = {name: value * 0.5 for name, value in delivered.items()}
    assert not distribution.judged(played.point("known"), said).checks[0].passed
    with pytest.raises(RunFailed):
        played.point("another")


@pytest.mark.processes
def test_ctrl_c_ends_it_at_once_and_leaves_nothing_behind(tmp_path):
    with brownout("selfcheck", "--out", "runs", cwd=tmp_path) as invocation:
        invocation.until(stall.TITLE)
        assert invocation.insist() == 130, invocation.output
    assert "Traceback" not in invocation.output


@pytest.mark.processes
def test_another_process_on_the_control_port_gets_no_token(monkeypatch):
    with scripted_upstream() as other:
        target = Target()
        monkeypatch.setattr(target, "_port", int(other.url.rpartition(":")[2]))
        words = [sys.executable, "-c", "import time; time.sleep(600)", str(target._port)]
        with subprocess.Popen(words) as mock:
            try:
                with pytest.raises(RunFailed, match=rf"^process {os.getpid()} \(.* control port"):
                    target.ledger()
            finally:
                mock.kill()
        assert other.heads == []
