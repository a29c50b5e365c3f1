"""Fidelity: when the mock's own word condemns a point, when it is a note, when it is nothing."""

from functools import cache

import pytest

from loadtests.analysis.points import points
from tests.support.simulated_engine import SimulatedEngine, exponential, record, stage, threads

LAG = "the event loop was away for 60 ms"
BEGIN = 1002.0  # of the window of the engine's first stage, whose clock begins at 1000


@cache
def played(seconds, repeats=1):
    """Stages whose windows last this many seconds: BEGIN to BEGIN + seconds, and so on."""
    engine = SimulatedEngine({"a": threads(40, exponential(0.05))})
    return [
        record(engine, stage(number, "a", 40, settle=2.0, measure=seconds))
        for number in range(repeats)
    ]


def ledgers(slow=(), *, lag=0.06, last=1040, changed=None, since=0.0, idle=False):
    """
    A sample a second, in the middle of each of the mock's; its clock is that of the stages.

    Args:
        slow: which seconds the mock counts as bad, by the time of their end.
        changed: what the ledger says instead from `since` on.
    """
    made, bad = [], 0
    for at in range(990, last):
        bad += at in slow
        ledger = {
            "epoch": "e",
            "generation": 1,
            "dropped": 0,
            "version": 1,
            "elapsed": at - 900.0,
            "in_flight": {"seconds": 0.0 if idle else 40.0 * (at - 900)},
            "fidelity": {
                "reasons": [LAG] if at in slow else [],
                "lag": lag if at in slow else 0.001,
                "not_ok_seconds": bad,
            },
        }
        made.append({"at": at + 0.5, "mock": ledger | ((changed or {}) if at >= since else {})})
    return made


def silent(samples, *moments):
    return [{**one, "mock": None} if int(one["at"]) in moments else one for one in samples]


def judged(samples, seconds=30.0, repeats=1):
    return next(p for p in points(played(seconds, repeats), samples) if p.request == "all")


def test_a_mock_that_kept_up_is_not_mentioned():
    found = judged(ledgers())
    assert (found.valid, found.problems) == (True, [])


@pytest.mark.parametrize("seconds", [5.0, 30.0])
def test_one_slow_second_is_a_note_in_the_mocks_own_words(seconds):
    found = judged(ledgers({1005}), seconds)
    assert found.valid
    assert found.problems == [
        f"the mock upstream did not keep up for 1.06 s of {seconds:g} s: {LAG}"
    ]


def test_two_slow_seconds_of_five_condemn_a_point():
    found = judged(ledgers({1004, 1006}), 5.0)
    assert not found.valid
    assert found.problems == [f"the mock upstream was the bottleneck for 2.12 s of 5 s: {LAG}"]
    assert (found.limit.resource, found.limit.why) == ("mock", found.problems[0])


@pytest.mark.parametrize(("count", "valid"), [(2, True), (3, False)])
def test_a_tenth_of_a_long_window_condemns_it(count, valid):
    found = judged(ledgers(range(1005, 1005 + 2 * count, 2)))
    assert (found.valid, len(found.problems)) == (valid, 1)


def test_one_slow_second_is_all_of_a_window_that_lasts_one():
    assert not judged(ledgers({1003}), 1.0).valid


@pytest.mark.parametrize("second", [1001, 1009])
def test_slowness_outside_the_window_does_not_count(second):
    found = judged(ledgers({second}), 5.0)
    assert (found.valid, found.problems) == (True, [])


def test_a_long_absence_counts_as_long_as_it_was():
    """Stopped for 3 s: one second of the mock's, and three samples without an answer."""
    found = judged(silent(ledgers({1006}, lag=3.1), 1003, 1004, 1005), 10.0)
    assert not found.valid
    assert found.problems[0].startswith("the mock upstream was the bottleneck for 4.1 s of 10 s")


def test_a_long_absence_that_the_mock_has_said_before_it_could_be_read_counts_as_long():
    samples = silent(ledgers({1006}), 1003, 1004, 1005, 1006)
    for sample in samples[17:]:
        sample["mock"]["fidelity"].update(reasons=[], lag=0.001)
    found = judged(samples, 10.0)
    assert not found.valid
    assert found.problems[0].startswith("the mock upstream was the bottleneck for 4 s of 10 s")


def test_a_slow_second_with_one_reading_that_failed_is_still_one_second():
    found = judged(silent(ledgers({1005}), 1004), 5.0)
    assert found.valid
    assert len(found.problems) == 1


def test_the_repeats_of_a_level_are_judged_together():
    # Their windows: 1002 to 1007, 1009.2 to 1014.2.
    assert judged(ledgers({1004}), 5.0, repeats=2).valid
    assert not judged(ledgers({1004, 1011}), 5.0, repeats=2).valid


def test_a_silence_that_the_mock_kept_up_through_is_a_note():
    assert judged(silent(ledgers(), 1004, 1005)).problems == []
    found = judged(silent(ledgers(), 1004, 1005, 1006))
    assert found.valid
    assert found.problems == ["the mock upstream's ledger could not be read 3 times in a row"]


def test_a_mock_without_later_samples_leaves_the_point_unproven():
    found = judged(silent(ledgers(), *range(1010, 1040)))
    assert not found.valid
    assert found.problems == [
        "whether the mock upstream kept up is not known: its ledger could not be read for "
        "22.5 s of 30 s"
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epoch": "f"}, "the mock upstream was restarted"),
        ({"generation": 2, "dropped": 7}, "the mock upstream was reset: it dropped 7 replies"),
        ({"version": 2}, "the mock upstream's profile was changed"),
    ],
)
def test_a_mock_that_became_another_one_condemns_the_point_it_happened_in(change, says):
    found = judged(ledgers(changed=change, since=1010))
    assert not found.valid
    assert len(found.problems) == 1
    assert found.problems[0].startswith(says)
    assert judged(ledgers(changed=change, since=1001)).valid
    assert judged(ledgers(changed=change, since=1033)).valid


def test_counts_that_began_again_do_not_add_up_to_requests_in_flight():
    samples = ledgers(changed={"generation": 2}, since=1010)
    for sample in samples:
        if sample["mock"]["generation"] == 2:
            sample["mock"]["in_flight"] = {"seconds": 40.0 * sample["at"]}
    assert judged(samples).resources["upstream_in_flight"] == pytest.approx(40.0)


def test_a_mock_without_requests_is_not_judged():
    found = judged(ledgers(range(1002, 1032), idle=True))
    assert (found.valid, found.problems) == (True, [])


def test_samples_before_the_first_request_are_ignored():
    bare = [{"at": BEGIN + n, "cores": []} for n in range(30)]
    assert judged(bare).valid


def test_seconds_that_were_counted_between_two_samples_have_no_reason_left():
    samples = ledgers(range(1003, 1009))
    for sample in samples:
        sample["mock"]["fidelity"]["reasons"] = []
    found = judged(samples, 10.0)
    assert not found.valid
    assert "its own counters say so" in found.problems[0]
