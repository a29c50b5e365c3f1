"""Levels of a user's own locustfile: who was there, what was sent, and what a knee is then."""

import math
import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from loadtests.analysis import mixes, scenario, summary
from loadtests.analysis.checks import users
from loadtests.analysis.inputs.records import Header, Record, StageRecord
from loadtests.analysis.knees import knee
from loadtests.analysis.points import points
from loadtests.analysis.runs import run_of
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import Apart, UserCounts
from loadtests.recording.slices import OTHER_NAMES, Slice
from loadtests.report.outputs import markdown, terminal
from loadtests.report.text import scenario as shown
from loadtests.results import Knee
from tests.support.locustfile_runs import (
    at_work,
    calls_in_parallel,
    record_of,
    thinking,
)

KNEE = 160  # users, of ten threads of 50 ms and pauses of 750 ms


@pytest.fixture(scope="module")
def think_time():
    """Users that pause for 0.5 to 1 s, on a roomy service and on one of ten threads."""
    return run_of(
        record_of(
            {"roomy": thinking(None), "ten-threads": thinking(10)}, [5, 20, 50, 100, 200, 320]
        )
    )


def test_users_that_think_have_no_knee_where_throughput_follows(think_time):
    found = think_time.knees["roomy"]
    assert found.level is None
    assert found.low >= 0.9 * 320
    assert not [point.limit for point in think_time.of("roomy") if point.limit]


def test_the_knee_of_users_that_think_is_in_users_and_in_requests_in_flight(think_time):
    found = think_time.knees["ten-threads"]
    assert found.level == pytest.approx(KNEE, rel=0.06)
    assert found.low <= KNEE * 1.02
    assert found.high >= KNEE * 0.98
    assert found.in_flight == pytest.approx(10, rel=0.06)
    assert found.cycle == pytest.approx(0.8, rel=0.03)


def test_requests_in_flight_are_a_column_where_users_are_not_as_many(think_time):
    assert shown.flying(think_time.points)
    text = markdown.render(think_time)
    assert "| in flight |" in text
    assert "requests in flight" in text
    [top] = [p for p in think_time.of("ten-threads") if p.level == 320]
    assert top.in_flight == pytest.approx(320 - 200 * 0.75, rel=0.05)


def test_parallel_requests_of_a_user_are_reported_and_the_knee_counts_users():
    run = run_of(record_of({"twenty-threads": calls_in_parallel(20, 4)}, [1, 2, 4, 8, 16, 32]))
    found = run.knees["twenty-threads"]
    assert 4.6 <= found.level <= 5.5
    assert found.in_flight == pytest.approx(20, rel=0.06)
    below = [point for point in run.of("twenty-threads") if point.level in (2, 4)]
    for point in below:
        assert re.search(r"at a time: 3\.[789] are in flight for each", "; ".join(point.problems))
        assert point.limit is None
    assert all(point.limit for point in run.of("twenty-threads") if point.level >= 8)


def test_a_level_that_is_not_held_decides_nothing():
    run = run_of(
        record_of(
            {"roomy": at_work(None, stopping=3)},
            [6, 20, 40],
            slos={"fast": "p95 < 100ms at 40"},
        )
    )
    told = {point.level: "; ".join(point.problems) for point in run.of("roomy")}
    assert "4 of 6 users ran: 2 had stopped" in told[6]
    assert "14 of 20 users ran: 6 had stopped" in told[20]
    assert "27 of 40 users ran: 13 had stopped" in told[40]
    assert not any(point.valid or point.limit for point in run.of("roomy"))
    assert run.knees["roomy"] == Knee(level=None)
    [slo] = run.slos
    assert (slo.status, slo.valid) == ("unresolved", False)


def counted(record, **counts):
    """The record of a stage, of which its generators say this of their users."""
    for name, done in record.dones.items():
        record.dones[name] = done.model_copy(update=counts)
    return record


def stages(levels=(10,), **counts):
    record = record_of({"roomy": at_work(None)}, levels)
    for stage in record.stages:
        counted(stage, **counts)
    return record


def users_of(level, **more):
    return UserCounts(**{"running": level, "waiting": 0, "starting": 0, "least": level} | more)


def test_users_that_are_still_in_on_start_are_reported():
    [stage] = stages(users=users_of(8, starting=2)).stages
    assert users.not_held(stage) == "the level was not held: 8 of 10 users ran: 2 still in on_start"


def test_one_user_in_a_hundred_that_is_missing_makes_no_level_invalid():
    [stage] = stages([100], users=users_of(99)).stages
    assert users.not_held(stage) is None


def test_a_locustfile_without_accounts_is_reported_and_the_level_decides_nothing():
    run = run_of(stages(users=users_of(10, without=3)))
    [point] = run.of("roomy")
    assert not point.valid
    told = "; ".join(point.problems)
    assert "such as accounts: 3 of 10 users sent nothing in it, though all before them had" in told


def test_files_of_earlier_versions_count_no_users():
    [point] = run_of(stages(users=None)).of("roomy")
    assert point.users is None
    assert point.valid


def apart(kind, name, values, failed=0, request_type="METRIC"):
    times = Histogram()
    for value in values:
        times.record(value / 1000)
    return Apart.of(kind, request_type, name, times, failed)


def test_separate_events_are_rows_with_their_numbers():
    rows = (
        apart("timing", "tokens", [512] * 99 + [1024]),
        apart("on_start", "/login", [20] * 10, failed=1, request_type="POST"),
    )
    run = run_of(stages([5, 10], apart=rows))
    found = {(one.level, one.kind): one for one in run.apart}
    assert set(found) == {(level, kind) for level in (5, 10) for kind in ("timing", "on_start")}
    tokens = found[10, "timing"]
    assert tokens.values["p50"] == pytest.approx(512, rel=0.001)
    assert tokens.per_second == pytest.approx(100 / 4)
    told = " ".join(run.problems)
    assert "200 events of the locustfile are no requests, by their request type (METRIC)" in told
    assert "on_start ran for 15 users in all. Its 20 requests are shown apart" in told
    assert "10 % of the requests of on_start failed" in told
    for text in (markdown.render(run), printed(run)):
        assert "METRIC: tokens" in text
        assert "512" in text


def printed(run):
    output = StringIO()
    Console(width=200, file=output).print(terminal.render(run))
    return output.getvalue()


def test_exceptions_of_the_locustfile_are_counted_by_what_and_where():
    run = run_of(stages([5, 10], errors={"KeyError: 'id' (users.py, line 3, in shop)": 4}))
    assert (
        "The locustfile raised an exception 8 times: KeyError: 'id' (users.py, line 3, in shop)"
        in run.problems
    )


def test_a_locustfile_without_http_requests_gets_a_hint():
    empty = StageRecord(stages().stages[0].stage)
    full = stages(apart=(apart("timing", "call", [5], request_type="grpc"),)).stages[0]
    empty.begun, empty.dones = full.begun, full.dones
    told = scenario.problems(
        Record(Header(id="x", name="x"), stages=[empty]), scenario.events_apart([empty])
    )
    assert '[locust] requests = ["grpc"]' in told[0]


def mixed(levels, shares):
    """Records whose levels have these numbers of users of each class."""
    record = record_of({"roomy": at_work(None)}, levels)
    for stage in record.stages:
        level = stage.stage.level
        counted(stage, users=users_of(level, classes=shares(level)))
    return record


def test_levels_with_another_mix_of_user_classes_are_left_out_of_the_knee():
    run = run_of(
        mixed(
            [1, 2, 8, 16, 32, 64], lambda n: {"A": n - n // 4, "B": n // 4} if n > 2 else {"A": n}
        )
    )
    assert [p.level for p in run.of("roomy") if p.other_mix] == [1, 2]
    assert run.knees["roomy"].low >= 0.9 * 64
    [told] = [text for text in run.problems if "mix of User classes" in text]
    assert "at 1 and 2 users the mix of User classes is another one than at 64" in told
    assert "A is 100 % of 1 instead of 75 %" in told  # and not B, by whatever order a set has


def test_a_fixed_count_leaves_no_knee():
    run = run_of(mixed([4, 8, 16, 32], lambda n: {"Admin": 2, "Buyer": n - 2}))
    found = run.knees["roomy"]
    assert (found.level, found.low, found.high) == (None, None, None)


def test_the_mix_of_requests_below_a_knee_must_be_one():
    found = points(record_of({"ten": at_work(10)}, [2, 4, 8, 16, 32]).stages)
    bends = {"ten": knee(found)}
    assert bends["ten"].level is not None
    assert mixes.without_mixed(found, bends) == bends
    two = [
        point.model_copy(update={"request": name, "requests": math.ceil(share * point.requests)})
        for point in found
        if point.request == "all"
        for name, share in (("a", 0.2 if point.level < 8 else 0.8), ("b", 0.5))
    ]
    every = [*(p for p in found if p.request == "all"), *two]
    assert mixes.without_mixed(every, bends) == {"ten": Knee(level=None)}
    assert "so it has no single knee" in mixes.problems(every, bends)[0]


@pytest.mark.parametrize("measure", [4.0, 1.5])  # the short one is without intervals
def test_a_lock_of_the_locustfile_is_no_limit_of_the_service(measure):
    held = record_of(
        {"roomy": replace(at_work(None), lock=4)}, [1, 2, 4, 8, 16, 32], measure=measure
    )
    run = run_of(held)
    found = run.knees["roomy"]
    assert found.level is None
    assert found.high is None
    for point in run.of("roomy"):
        if point.level <= 4:
            assert point.valid
            assert point.limit is None
        elif point.level >= 8:
            assert not point.valid
            assert point.limit.resource == "generator"
            assert "outside of requests" in point.problems[0]
            assert "response_time in seconds" not in point.problems[0]
    text = summary.sentence(run, "roomy")
    if measure == 4.0:
        assert "follows the load up to 4 users" in text
    assert "the locustfile holds them back" in text


def test_users_whose_requests_wait_in_the_service_are_not_held_back_by_the_locustfile():
    run = run_of(record_of({"four": at_work(4), "thinking": thinking(4)}, [1, 4, 16, 64, 160]))
    assert all(point.valid for point in run.points)
    assert run.knees["four"].level == pytest.approx(4, rel=0.1)


def test_requests_that_wait_for_a_connection_of_the_locustfiles_pool_make_the_level_not_valid():
    record = record_of({"roomy": at_work(4)}, [1, 16])
    top = record.stages[-1]
    top.dones["local"] = top.dones["local"].model_copy(update={"pool_waits": 12 * 4.0})
    low, high = run_of(record).of("roomy")
    assert low.valid
    assert not high.valid
    assert high.limit.resource == "generator"
    assert "requests waited 75" in high.problems[0]
    assert "connection of the locustfile's own pool" in high.problems[0]


def test_events_without_a_time_are_told():
    record = record_of({"roomy": at_work(None)}, [1])
    done = record.stages[0].dones["local"]
    record.stages[0].dones["local"] = done.model_copy(update={"unusable": {"GET /a (None)": 7}})
    assert scenario.problems(record, []) == [
        "7 events of the locustfile are in no number, since their response_time is not a number "
        "of milliseconds: GET /a (None)"
    ]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([f"/items/{n}" for n in range(30)], "have 30 names, such as /items/0: each has a row"),
        (["/a", OTHER_NAMES], 'and those beyond them are in one, "other names"'),
        (["/a", "/b"] * 20, None),
        ([f"/page/{n}" for n in range(30)] * 2, None),
        ([f"/page/{n}" for n in range(5)], None),
    ],
)
def test_names_with_an_id_in_them_are_told_with_the_way_to_give_one(names, told):
    record = record_of({"roomy": at_work(None)}, [1])
    slices = [Slice(stage=0, index=0, request=name, started=1) for name in names]
    record.stages[0] = replace(record.stages[0], slices=slices)
    found = scenario.problems(record, [])
    assert len(found) == bool(told)
    assert all(told in text and 'name="/items/[id]"' in text for text in found)


def test_requests_of_no_user_are_told_with_the_way_to_count_them():
    record = record_of({"roomy": at_work(None)}, [1])
    times = Histogram()
    times.record(0.2)
    done = record.stages[0].dones["local"]
    rows = (Apart.of("background", "GET", "/poll", times, 0),)
    record.stages[0].dones["local"] = done.model_copy(update={"apart": rows})
    run = run_of(record)
    [one] = run.apart
    assert (one.kind, one.count, one.per_second) == ("background", 1, 0.25)
    assert shown.event(one) == "background: /poll"
    [told] = [text for text in run.problems if "no user" in text]
    assert told.startswith("1 request was sent by no user of the locustfile")
    assert told.endswith('[locust] requests = ["/poll"]')
