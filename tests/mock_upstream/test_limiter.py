"""Limits are kept to the nanosecond, refuse nobody needlessly, and are honest about it."""

from collections import Counter
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from mock_upstream.admission.rate_limiter import Limiter, Permit, RefusalAnswer, _Log
from mock_upstream.admission.rate_limits import Limit, SlidingWindow

LIMITS: TypeAdapter[list[Limit]] = TypeAdapter(list[Limit])
NANOSECONDS = 1_000_000_000
BUCKET = {"kind": "token_bucket", "limit": 1, "per": "1s"}
WINDOW = {"kind": "fixed_window", "limit": 1, "per": "1s"}
LOG = {"kind": "sliding_window", "limit": 1, "per": "1s"}
AT_ONCE = {"kind": "concurrency", "limit": 1}


def limiter(*limits: dict[str, Any], start: float = 0.0) -> Limiter:
    return Limiter(LIMITS.validate_python(limits), start)


def ask(
    limiter: Limiter, now: float, address: str = "", route: str = "GET /", client: bytes = b""
) -> Permit | RefusalAnswer:
    return limiter.admit(now, route, address, {b"x-client": client} if client else {})


def admitted(limiter: Limiter, now: float, address: str = "") -> bool:
    return isinstance(ask(limiter, now, address), Permit)


def retry_after(answer: Permit | RefusalAnswer) -> int:
    assert isinstance(answer, RefusalAnswer)
    return int(dict(answer.headers)[b"retry-after"])


# --- laws, with times of any nanosecond

# Small steps around the period, so that borders are hit exactly, one before and one after.
PERIOD = 1000
gaps = st.one_of(
    st.integers(0, 3),
    st.integers(PERIOD - 2, PERIOD + 2),
    st.integers(0, 3 * PERIOD),
    st.sampled_from([PERIOD // 2, PERIOD // 3]),
)
starts = st.sampled_from([0, 1, 123_456_789_123_456])
numbers = st.integers(1, 5)


@st.composite
def arrivals(draw: st.DrawFn) -> list[int]:
    now, times = draw(starts), []
    for gap in draw(st.lists(gaps, min_size=1, max_size=60)):
        now += gap
        times.append(now)
    return times


def decide(limit: dict[str, Any], times: list[int]) -> list[bool]:
    kept = limiter({"per": f"{PERIOD // 1000}us", **limit}, start=times[0] / NANOSECONDS)
    return [admitted(kept, time / NANOSECONDS) for time in times]


@given(arrivals(), numbers, st.integers(1, 7))
def test_a_bucket_admits_its_burst_and_its_rate_and_all_of_them(
    times: list[int], limit: int, burst: int
) -> None:
    decisions = decide({"kind": "token_bucket", "limit": limit, "burst": burst}, times)
    before: list[int] = []
    for time, admitted in zip(times, decisions, strict=True):
        fits = all(
            (len(before) - place + 1 - burst) * PERIOD <= (time - since) * limit
            for place, since in enumerate(before)
        )
        assert admitted == fits
        if admitted:
            before.append(time)


@given(arrivals(), numbers)
def test_a_fixed_window_admits_its_limit_and_all_of_it(times: list[int], limit: int) -> None:
    decisions = decide({"kind": "fixed_window", "limit": limit}, times)
    counts: Counter[int] = Counter()
    for time, admitted in zip(times, decisions, strict=True):
        window = (time - times[0]) // PERIOD
        assert admitted == (counts[window] < limit)
        counts[window] += admitted


@given(arrivals(), numbers)
def test_a_sliding_window_admits_its_limit_and_all_of_it(times: list[int], limit: int) -> None:
    decisions = decide({"kind": "sliding_window", "limit": limit}, times)
    before: list[int] = []
    for time, admitted in zip(times, decisions, strict=True):
        assert admitted == (sum(time - PERIOD < since for since in before) < limit)
        if admitted:
            before.append(time)


@given(st.lists(st.booleans(), max_size=60), numbers)
def test_concurrency_admits_its_limit_at_once_and_all_of_it(
    arrivals: list[bool], limit: int
) -> None:
    kept = limiter({"kind": "concurrency", "limit": limit})
    inside: list[Permit] = []
    for arrives in arrivals:
        if arrives:
            answer = ask(kept, 0.0)
            assert isinstance(answer, Permit) == (len(inside) < limit)
            if isinstance(answer, Permit):
                inside.append(answer)
        elif inside:
            inside.pop(0).release()
    assert kept.account()[0].keys == bool(inside)


timed = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["token_bucket", "fixed_window", "sliding_window"]),
        "limit": numbers,
        "per": st.sampled_from(["100ms", "1s", "2500ms", "7s"]),
    }
)


@given(st.lists(timed, min_size=1, max_size=3), st.lists(st.integers(0, 3000), max_size=30))
def test_an_honest_retry_after_is_the_first_whole_second_that_admits(
    limits: list[dict[str, Any]], gaps: list[int]
) -> None:
    kept, now = limiter(*limits), 0
    for gap in [0, 0, 0, 0, 0, 0, *gaps]:
        now += gap  # milliseconds
        answer = ask(kept, now / 1000)
        if isinstance(answer, RefusalAnswer):
            wait = retry_after(answer)
            assert wait >= 1
            assert admitted(deepcopy(kept), now / 1000 + wait)
            assert wait == 1 or not admitted(deepcopy(kept), now / 1000 + wait - 1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 500)), max_size=40))
def test_keys_are_limited_independently(steps: list[tuple[int, int]]) -> None:
    together = limiter({**BUCKET, "limit": 2, "key": "address"})
    apart = {address: limiter({**BUCKET, "limit": 2}) for address in range(3)}
    now = 0
    for address, gap in steps:
        now += gap
        expected = admitted(apart[address], now / 1000)
        assert admitted(together, now / 1000, str(address)) == expected


@given(st.lists(st.integers(0, 1500), max_size=40))
def test_a_refusal_by_one_limit_uses_no_other(gaps: list[int]) -> None:
    both, tight = limiter(BUCKET, {**LOG, "limit": 1000, "per": "1m"}), limiter(BUCKET)
    now = passed = 0
    for gap in gaps:
        now += gap
        assert admitted(both, now / 1000) == admitted(tight, now / 1000)
        passed += isinstance(ask(both, now / 1000), Permit)  # at once again: always refused
    assert passed == 0
    assert both.account()[1].refused == 0


# --- one case each


@pytest.mark.parametrize("limit", [BUCKET, WINDOW, LOG, AT_ONCE])
def test_keys_tell_requests_apart(limit: dict[str, Any]) -> None:
    def pair(key: str, first: dict[str, Any], second: dict[str, Any]) -> bool:
        kept = limiter({**limit, "key": key})
        assert isinstance(ask(kept, 0.0, **first), Permit)
        return isinstance(ask(kept, 0.0, **second), Permit)

    here, there = {"address": "10.0.0.1"}, {"address": "10.0.0.2"}
    assert not pair("all", here, there)
    assert not pair("route", here, there)
    assert pair("address", here, there)
    assert not pair("address", here, here)
    assert pair("route", {"route": "GET /a"}, {"route": "GET /b"})
    assert not pair("route", {"route": "GET /a"}, {"route": "GET /a"})
    assert pair("header:X-Client", {"client": b"a"}, {"client": b"b"})
    assert not pair("header:X-Client", {"client": b"a"}, {"client": b"a"})
    assert pair("header:X-Client", {"client": b"a"}, {})
    assert not pair("header:X-Client", {}, {})


def test_a_late_retry_after_is_later_and_an_absent_one_absent() -> None:
    for how, expected in (("honest", b"1"), ("late", b"4"), ("absent", None)):
        kept = limiter({**BUCKET, "retry_after": how, "late_by": "2500ms", "status": 503})
        ask(kept, 0.0)
        refusal = ask(kept, 0.25)
        assert isinstance(refusal, RefusalAnswer)
        assert refusal.status == 503
        assert dict(refusal.headers).get(b"retry-after") == expected


def test_the_ratelimit_headers_are_honest_however_retry_after_is() -> None:
    kept = limiter({**WINDOW, "per": "1m", "retry_after": "late", "ratelimit_headers": True})
    ask(kept, 0.0)
    refusal = ask(kept, 15.5)
    assert isinstance(refusal, RefusalAnswer)
    assert dict(refusal.headers) == {
        b"retry-after": b"55",
        b"ratelimit-limit": b"1",
        b"ratelimit-remaining": b"0",
        b"ratelimit-reset": b"45",
    }


def test_the_time_of_a_free_slot_is_unknown() -> None:
    kept = limiter(AT_ONCE, BUCKET)
    ask(kept, 0.0)
    refusal = ask(kept, 0.0)
    assert isinstance(refusal, RefusalAnswer)
    assert refusal.headers == []  # though the bucket alone would know


def test_the_limit_that_holds_longest_answers_and_counts() -> None:
    kept = limiter(BUCKET, {**BUCKET, "per": "1m"}, {**BUCKET, "per": "5s"})
    ask(kept, 0.0)
    assert retry_after(ask(kept, 0.5)) == 60
    assert [limit.refused for limit in kept.account()] == [0, 1, 0]


def test_requests_before_retry_after_are_counted_by_key() -> None:
    kept = limiter({**BUCKET, "per": "10s", "key": "address"})
    for address in ("patient", "hasty", "new"):
        ask(kept, 0.0, address)
    assert retry_after(ask(kept, 0.5, "patient")) == 10
    ask(kept, 0.5, "hasty")
    ask(kept, 3.0, "hasty")
    ask(kept, 9.75, "hasty")
    ask(kept, 10.5, "patient")
    # Since its last request was refused, "hasty" was told 1 s, until 10.75.
    assert admitted(kept, 10.25, "hasty")
    assert not admitted(kept, 10.5, "hasty")  # admitted in between: no retry
    account = kept.account()[0]
    assert account.early_retries == 3
    assert account.early_by_key == {"hasty": 3}
    assert (account.kind, account.key, account.keys) == ("token_bucket", "address", 3)


def test_a_request_without_retry_after_cannot_be_early() -> None:
    kept = limiter({**BUCKET, "retry_after": "absent"})
    for _ in range(5):
        ask(kept, 0.0)
    assert (kept.account()[0].refused, kept.account()[0].early_retries) == (4, 0)


def test_a_request_before_a_late_retry_after_is_early() -> None:
    for wait, early in ((1.0, 1), (11.0, 0)):
        kept = limiter({**BUCKET, "retry_after": "late"})
        ask(kept, 0.0)
        assert retry_after(ask(kept, 0.0)) == 11
        assert admitted(kept, wait)
        assert kept.account()[0].early_retries == early


def test_the_least_recent_key_is_forgotten_and_starts_empty() -> None:
    for limit in (BUCKET, WINDOW, LOG):
        kept = limiter({**limit, "key": "address", "keys": 2})
        assert admitted(kept, 0.0, "a")
        assert admitted(kept, 0.0, "b")
        assert not admitted(kept, 0.0, "a")  # heard of again: now "b" is the longest silent
        assert admitted(kept, 0.0, "c")
        assert not admitted(kept, 0.0, "a")
        assert admitted(kept, 0.0, "b")
        assert kept.account()[0].keys == 2


def test_a_long_log_leaves_room_for_fewer_keys() -> None:
    kept = limiter({**LOG, "limit": 250_000, "key": "address"})
    for address in range(10):
        ask(kept, 0.0, str(address))
    assert kept.account()[0].keys == 4


def test_a_key_with_requests_in_hand_is_never_forgotten() -> None:
    kept = limiter({**AT_ONCE, "key": "address"})
    inside = [ask(kept, 0.0, str(address)) for address in range(20_000)]
    assert not any(isinstance(permit, RefusalAnswer) for permit in inside)
    assert not admitted(kept, 0.0, "0")
    for permit in inside:
        assert isinstance(permit, Permit)
        permit.release()
    assert kept.account()[0].keys == 0


def test_a_slot_is_released_once() -> None:
    kept = limiter({**AT_ONCE, "limit": 2})
    first, second = ask(kept, 0.0), ask(kept, 0.0)
    assert isinstance(first, Permit)
    assert isinstance(second, Permit)
    first.release()
    first.release()
    assert admitted(kept, 0.0)
    assert not admitted(kept, 0.0)


def test_a_secret_in_a_header_is_in_no_account() -> None:
    kept = limiter({**BUCKET, "key": "header:x-client"})
    for _ in range(3):
        ask(kept, 0.0, client=b"sk_live_1")
    assert kept.account()[0].early_retries == 1
    assert "sk_live_1" not in repr(kept.account())


def test_a_clock_that_goes_back_admits_nothing() -> None:
    for limit in (BUCKET, WINDOW, LOG):
        kept = limiter({**limit, "limit": 2})
        times = [10.0, 9.5, 10.0, 8.0, 9.0]
        assert [admitted(kept, now) for now in times] == [True, True, False, False, False]


def test_other_numbers_apply_to_what_was_counted() -> None:
    for limit in (BUCKET, WINDOW, LOG):
        kept = limiter({**limit, "limit": 3, "per": "10s"})
        for _ in range(3):
            ask(kept, 0.0)
        kept.adopt(LIMITS.validate_python([{**limit, "limit": 5, "per": "10s"}]))
        assert [admitted(kept, 0.0) for _ in range(3)] == [True, True, False]
        kept.adopt(LIMITS.validate_python([{**limit, "limit": 1, "per": "10s"}]))
        wait = retry_after(ask(kept, 0.0))
        assert not admitted(deepcopy(kept), wait - 0.5)
        assert admitted(kept, wait)


def test_a_lower_limit_waits_until_enough_arrivals_are_past() -> None:
    kept = limiter({**LOG, "limit": 3, "per": "10s"})
    for now in (0.0, 2.0, 4.0):
        ask(kept, now)
    kept.adopt(LIMITS.validate_python([{**LOG, "limit": 2, "per": "10s"}]))
    assert retry_after(ask(kept, 4.0)) == 8  # until two of the three are past


def test_fewer_keys_are_remembered_as_soon_as_that_is_asked() -> None:
    kept = limiter({**BUCKET, "key": "address"})
    for address in "abc":
        ask(kept, 0.0, address)
    kept.adopt(LIMITS.validate_python([{**BUCKET, "key": "address", "keys": 1}]))
    assert kept.account()[0].keys == 1
    assert not admitted(kept, 0.0, "c")


def test_a_log_forgets_what_is_past() -> None:
    log, limit = _Log(0), SlidingWindow.model_validate({**LOG, "limit": 5})
    for second in range(1000):
        log.take(second * NANOSECONDS, limit)
    assert len(log._arrivals) == 1


def test_a_new_limit_starts_empty_and_others_continue() -> None:
    kept = limiter(WINDOW, {**AT_ONCE, "limit": 2}, LOG)
    permit = ask(kept, 0.0)
    assert isinstance(permit, Permit)
    kept.adopt(LIMITS.validate_python([{**WINDOW, "per": "2s"}, AT_ONCE]))
    refusal = ask(kept, 0.0)
    assert isinstance(refusal, RefusalAnswer)
    assert [limit.refused for limit in kept.account()] == [0, 1]
    permit.release()
    assert admitted(kept, 0.0)


def test_requests_of_a_removed_limit_release_no_slot_of_the_new_one() -> None:
    kept = limiter({**AT_ONCE, "key": "all"})
    old = ask(kept, 0.0)
    kept.adopt(LIMITS.validate_python([{**AT_ONCE, "key": "route"}]))
    assert admitted(kept, 0.0)
    assert isinstance(old, Permit)
    old.release()
    assert not admitted(kept, 0.0)


def test_windows_follow_each_other_from_the_start_of_the_limiter() -> None:
    kept = limiter({**WINDOW, "key": "address"}, start=0.75)
    pairs = list(pairwise([1.0, 1.5, 1.75, 2.5, 2.75]))
    assert [now for now, _ in pairs if admitted(kept, now)] == [1.0, 1.75]
    assert admitted(kept, 2.75)
