"""Whether verify can be believed: when it says yes, and above all when it must say no."""

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from random import Random
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from mock_upstream import running
from mock_upstream.client import Upstream
from mock_upstream.latency.parser import parse
from mock_upstream.profiles.profile import Profile, Route
from mock_upstream.verification import verify
from mock_upstream.verification.load_driver import DriverCounts, drive, question
from mock_upstream.verification.verify import VerifiedFact

pytestmark = pytest.mark.processes

SPREAD = Profile.model_validate({"latency": "p50=5ms p95=8ms p99=15ms"})
ROUTE = Route(path="/")


def answers(
    delays: Sequence[float], late: float = 0.0001, seen_late: float = 0.0002, **timing: float
) -> list[DriverCounts]:
    """Ten a second, each answered after its delay and what it was late."""
    found = []
    for number, delay in enumerate(delays):
        sent = number / 10
        header = {"asked": delay, "queue": 0.0, "service": delay, "late": late} | timing
        written = ", ".join(f"{name};dur={value * 1e3:.3f}" for name, value in header.items())
        ended = sent + delay + seen_late
        found.append(DriverCounts(0, sent, sent, ended, 200, written.encode()))
    return found


def drawn(text: str, count: int = 5000) -> list[float]:
    latency, random = parse(text), Random(1)
    return [latency.quantile(random.random()) for _ in range(count)]


def broken(checks: Iterator[VerifiedFact]) -> list[str]:
    return [check.what for check in checks if check.holds is False]


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.95, 0.99]), st.sampled_from([0.95, 0.9999]))
def test_the_ranks_contain_the_quantile_with_their_confidence(
    n: int, q: float, sure: float
) -> None:
    ranks = verify.quantile_ranks(n, q, sure)
    if ranks is None:
        assert max((1 - q) ** n, q**n) > (1 - sure) / 2
        return
    low, high = ranks
    # The low-th value is above the quantile when fewer than `low` values are below it.
    tail = (1 - sure) / 2 * (1 + 1e-6)
    assert special.bdtr(low - 1, n, q) <= tail
    assert special.bdtrc(high - 1, n, q) <= tail
    # And no narrower interval would do.
    assert special.bdtr(low, n, q) >= tail * (1 - 1e-5)
    assert special.bdtrc(high - 2, n, q) >= tail * (1 - 1e-5)


def test_only_delays_of_the_profile_pass() -> None:
    good = answers(drawn("p50=5ms p95=8ms p99=15ms"))
    assert broken(verify.distributed(good, SPREAD, [ROUTE])) == []
    slow_tail = answers(drawn("p50=5ms p95=8ms p99=20ms"))
    assert broken(verify.distributed(slow_tail, SPREAD, [ROUTE])) == ["p99 of ANY /"]
    all_slower = answers([delay * 1.4 for delay in drawn("p50=5ms p95=8ms p99=15ms")])
    assert "p50 of ANY /" in broken(verify.distributed(all_slower, SPREAD, [ROUTE]))


def test_quantiles_of_too_few_requests_are_left_out() -> None:
    few = answers(drawn("p50=5ms p95=8ms p99=15ms", 100))
    told = [check.what for check in verify.distributed(few, SPREAD, [ROUTE])]
    assert told == ["p50 of ANY /"]


def test_a_latency_that_changes_is_not_compared() -> None:
    capacity = {"servers": 2, "slowdown": {"alpha": 0.1}}
    growing = Profile.model_validate({"latency": "5ms", "capacity": capacity})
    (check,) = verify.distributed(answers([0.2] * 1000), growing, [ROUTE])
    assert (check.holds, check.measured) == (None, "not compared: it grows with the load")


def test_an_early_response_is_found_regardless_of_the_ledger() -> None:
    seen = answers([0.005] * 1000)
    assert broken(verify.punctual(seen, SPREAD)) == []
    seen[7].ended -= 0.0003
    assert broken(verify.punctual(seen, SPREAD)) == ["early answers"]


def test_late_answers_are_judged_by_their_quantiles_and_the_profiles_own_budget() -> None:
    seen = answers([0.005] * 980) + answers([0.005] * 20, late=0.002)
    assert broken(verify.punctual(seen, SPREAD)) == ["late p99"]
    patient = Profile.model_validate({"latency": "5ms", "budget": {"late": "3ms"}})
    assert broken(verify.punctual(seen, patient)) == []
    assert broken(verify.punctual(answers([0.005] * 100, late=0.0005), SPREAD)) == ["late p50"]
    assert broken(verify.punctual([], SPREAD)) == ["answers with a delay"]


def test_servers_that_are_idle_or_too_many_are_seen() -> None:
    def overloaded(answered: float) -> VerifiedFact:
        """Ten servers of 50 ms, asked for 300 requests a second for 20 s."""
        times = [number / 300 for number in range(6000)]
        seen = [DriverCounts(0, time, time, time * 300 / answered, 200, b"") for time in times]
        for one in seen:
            one.server_timing = b"queue;dur=1, service;dur=50.0, late;dur=0"
        return verify.saturated(seen, servers=10)

    assert overloaded(200).holds
    assert not overloaded(180).holds
    assert not overloaded(220).holds


def test_the_driver_sends_at_its_times_whatever_the_answers_do() -> None:
    with running("300ms") as upstream:
        asked = [question("mock", "GET", "/a"), question("mock", "POST", "/b")]
        seen = drive(upstream.url, asked, 200, 1.0, connections=0, timeout=20)
        account = upstream.ledger()
    assert len(seen) == pytest.approx(200, abs=60)
    assert account.arrivals == account.answers[200] == len(seen)
    # A closed loop of one connection would have sent three.
    assert account.in_flight.peak > 20
    assert [one.question for one in seen] == [number % 2 for number in range(len(seen))]
    assert all(one.ended - one.sent >= 0.3 and one.sent >= one.intended for one in seen)


def test_the_driver_gives_up_on_answers_that_never_come() -> None:
    with running("50s") as upstream:
        asked = [question("mock", "GET", "/")]
        seen = drive(upstream.url, asked, 100, 0.5, connections=5, timeout=0.1)
    assert seen
    assert {one.status for one in seen} == {0}


def test_verify_prints_its_load_its_measurements_and_a_conclusion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = verify.main(SPREAD, rate=3000, seconds=1)
    lines = capsys.readouterr().out.splitlines()
    verdicts = {line[:28].strip(): line.rstrip().split()[-1] for line in lines[2:-1]}
    # Other work on this machine can make answers late, but never these wrong.
    assert verdicts["early answers"] == "ok", lines
    assert verdicts["the ledger's answers"] == "ok", lines
    assert verdicts["answered"] == "ok", lines
    assert code == (3 if "NO" in verdicts.values() else 0)
    assert any(line.startswith("This machine") for line in lines)
    assert ("headroom" in verdicts) == (code == 0)


def test_servers_and_faults_are_verified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_HIGHEST_RATE", 400)  # how far this machine gets is not asked here
    profile = Profile.model_validate(
        {
            "latency": "exponential(10ms)",
            "capacity": {"servers": 4, "queue": 50},
            "errors": {500: 0.1},
            "routes": [
                {"path": "/pay/{id}", "method": "POST"},
                {"path": "/flaky", "faults": [{"fault": "reset", "probability": 0.3}]},
            ],
        }
    )
    with running(profile) as upstream:
        checks = verify.verify(upstream, profile, rate=200, seconds=1)
    found = {check.what: check for check in checks}
    assert found["the ledger's answers"].holds, found
    assert found["answered"].holds is None
    assert "p50 of POST /pay/{id}" in found


@contextmanager
def on_a_busy_machine(profile: Profile) -> Iterator[Upstream]:
    """A mock whose core is taken for a tenth of a second, again and again."""
    over = Event()

    def take(pid: int) -> None:
        for number in cycle((signal.SIGSTOP, signal.SIGCONT)):
            os.kill(pid, number)
            if over.wait(0.1):
                break
        os.kill(pid, signal.SIGCONT)

    with running(profile) as upstream, ThreadPoolExecutor(1) as other:
        taking = other.submit(take, upstream.pid)
        try:
            yield upstream
        finally:
            over.set()
            taking.result()


@pytest.mark.processes
def test_a_busy_machine_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "running", on_a_busy_machine)
    # Every other answer is due while the mock is stopped.
    code = verify.main(Profile.model_validate({"latency": "100ms"}), rate=50, seconds=1)
    assert code == 3
    *_, verdict, reasons = capsys.readouterr().out.splitlines()
    assert verdict == "This machine does not deliver the profile at 50 requests a second."
    assert "late p99" in reasons
