"""Workers that come and go, and connections that they close."""

from itertools import pairwise

import pytest

from loadtests.analysis.causes.service_gauges import service
from loadtests.analysis.checks import reconnections
from loadtests.recording.messages import GeneratorDone
from tests.support.recorded import recorded, stage


def sample(at, **processes):
    """What was heard of each process by its name: how much CPU it has used, and its requests."""
    return {
        "at": at,
        "gauges": {
            "a": {
                pid: {
                    "at": at,
                    "cpu": cpu,
                    "threads": {"total": 40, "busy": 1, "waiting": 0},
                    "counts": {"requests": requests, "calls": 2 * requests},
                }
                for pid, (cpu, requests) in processes.items()
            }
        },
    }


def told(*samples):
    return service("a", list(pairwise(samples)))


def test_workers_that_replace_each_other_are_one_at_a_time():
    samples = [sample(float(at), first=(0.5 * at, 10 * at)) for at in range(5)]
    samples.append(sample(5.0, first=(2.5, 50), second=(0.1, 0)))
    samples += [
        sample(float(at), second=(0.1 + 0.5 * (at - 5), 10 * (at - 5))) for at in (6, 7, 8, 9)
    ]
    found = told(*samples)
    assert found.cpu == pytest.approx(0.5, rel=0.02)
    assert (found.processes, found.threads.total) == (1, 40)
    assert (found.requests, found.calls) == (90, 2)


def test_simultaneous_workers_are_added_and_a_gap_counts_as_zero():
    samples = [sample(float(at), x=(0.5 * at, at), y=(0.25 * at, at)) for at in range(6)]
    del samples[3]["gauges"]["a"]["y"]
    found = told(*samples)
    assert found.cpu == pytest.approx(0.75)
    assert (found.processes, found.threads.total) == (2, 80)


def test_a_number_that_another_process_got_takes_nothing_away():
    found = told(sample(0.0, x=(9.0, 900)), sample(1.0, x=(0.1, 5)), sample(2.0, x=(0.6, 10)))
    assert (found.cpu, found.requests) == (pytest.approx(0.5), 5)


def with_reconnections(reopened, resent):
    record = recorded(stage(0, "a", 4), [(0.01 * n, 0.01 * n + 0.01, False) for n in range(400)])
    record.dones["g"] = GeneratorDone(
        stage=0, generator="g", reports=1, unfinished=0, cpu=0.1, lag=0.0, reopened=reopened,
        resent=resent,
    )  # fmt: skip
    return [record]


def test_connections_closed_by_a_service_are_reported_with_repeated_requests():
    assert reconnections.told(with_reconnections(2, 0)) == []
    assert reconnections.told(with_reconnections(37, 0)) == [
        "37 kept connections were closed by the service and opened again"
    ]
    assert reconnections.told(with_reconnections(1, 1)) == [
        "1 kept connection was closed by the service and opened again; 1 request was sent a second "
        "time, as the first one got no answer"
    ]
