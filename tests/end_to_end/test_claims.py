"""Statements put to the test: verdicts follow from numbers, and can come out either way."""

import math
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mock_upstream
from loadtests import claims
from loadtests.analysis.inputs.records import Header, Record
from loadtests.claims import page, picture
from loadtests.claims import text as telling
from loadtests.claims.experiment import ClaimCase, ClaimExperiment, all_experiments, judged
from loadtests.claims.measurements import Measurement, NotMeasured, RequestCounts, counted
from loadtests.claims.naive_service import create_app
from loadtests.plans import UrlDeployment
from loadtests.results import Errors, Estimate, Run
from loadtests.schedules import ladder, why
from tests.support.brownout_runs import brownout
from tests.support.example_runs import about, point
from tests.support.servers import serving

ALL = all_experiments()
OVERHEAD = 8.0  # seconds to bring a plan up and to write its report


class Supposed(Measurement):
    """Whatever is asked of the plan was measured, and was the same everywhere."""

    def __init__(self, name):
        super().__init__(claims.plan_of(name), Run(id="", name=name, started=""), None)

    def _checked(self, deployment, level, request="all"):
        assert deployment in self.plan.deployments
        assert level in self.plan.load.levels
        assert request in {"all", *(one.name for one in self.plan.requests)}
        return about(0.1)

    throughput = mean = cpu = answers = _checked

    def cpu_counted(self, deployment):
        return self._checked(deployment, self.plan.load.levels[0])

    def elasticity(self, deployment):
        return self._checked(deployment, self.plan.load.levels[0])

    def share(self, deployment, level, request="all", kinds=None):
        return self._checked(deployment, level, request)

    def counts(self, deployment, level):
        self._checked(deployment, level)
        return RequestCounts(requests=100, calls=100, connections=10, peak=10, last_peak=10)


def cases(experiment):
    return experiment.judge(*(Supposed(name) for name in experiment.plans))


def case(measured=1.0, if_true=1.0, if_false=4.0, **values):
    found = measured if isinstance(measured, Estimate) else counted(measured)
    texts = {"when": "with 1 user", "what": "time", "unit": "seconds", "predicted": 1.0}
    return ClaimCase(if_true=if_true, if_false=if_false, measured=found, **{**texts, **values})


def verdict(*measured):
    return judged(ALL["client-reuses"], [case(one) for one in measured]).verdict


def test_the_verdict_is_that_of_the_cases_together():
    assert verdict(1.0, 1.9) == "confirmed"
    assert verdict(4.0, 2.1) == "refuted"
    assert verdict(1.0, 4.0) == "true only when"
    assert verdict() is None


def test_an_interval_across_the_boundary_or_a_missing_one_decides_nothing():
    assert verdict(1.0, Estimate(value=1.9, low=1.8, high=2.2)) is None
    assert verdict(1.0, Estimate(value=1.0)) is None


def test_a_statement_that_is_true_only_sometimes_says_when():
    found = judged(ALL["client-reuses"], [case(1.0, when="with few"), case(4.0, when="with many")])
    assert found.why == "it holds with few; it does not with many"


@given(st.floats(0.001, 1000), st.floats(1.1, 100), st.floats(0, 1))
def test_a_value_decides_for_the_nearer_expectation_by_ratio(true, factor, place):
    one = case(true * factor**place, if_true=true, if_false=true * factor)
    assert math.isclose(one.place(one.measured.value), place, abs_tol=1e-6)
    if abs(place - 0.5) > 1e-6:
        assert one.holds is (place < 0.5)


@given(st.floats(-5, 5))
def test_the_difference_decides_if_one_expectation_is_zero(value):
    one = case(value, if_true=0.0, if_false=1.0)
    assert math.isclose(one.place(value), value, abs_tol=1e-9)


@pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
def test_every_statement_can_be_confirmed_or_refuted(experiment):
    found = cases(experiment)
    true = [replace(one, measured=counted(one.if_true)) for one in found]
    false = [replace(one, measured=counted(one.if_false)) for one in found]
    assert judged(experiment, true).verdict == "confirmed"
    assert judged(experiment, false).verdict == "refuted"
    if len(found) > 1:
        assert judged(experiment, [*true[:1], *false[1:]]).verdict == "true only when"


@pytest.mark.parametrize("experiment", ALL.values(), ids=ALL)
def test_the_prediction_of_a_case_decides_it(experiment):
    for one in cases(experiment):
        assert replace(one, measured=counted(one.predicted)).holds is not None
        assert math.isfinite(one.predicted)


def test_all_statements_together_take_less_than_ten_minutes():
    plans = {name: claims.plan_of(name) for one in ALL.values() for name in one.plans}
    assert {file.stem for file in claims.PLANS.iterdir()} == set(plans)
    seconds = [
        ladder.expected_seconds(plan, len(ladder.expected(plan))) + OVERHEAD
        for plan in plans.values()
    ]
    windows = why.TURNS * sum(len(claims.probed(name, list(ALL.values()))) for name in plans)
    assert sum(seconds) + why.WINDOW * len(windows) < 540


def test_plans_start_all_measured_services():
    for one in ALL.values():
        for name in one.plans:
            deployments = claims.plan_of(name).deployments.values()
            assert not any(isinstance(each, UrlDeployment) for each in deployments)


def bystander(level, mean, valid=True):
    """A point of /health next to 40 busy threads, of this mean."""
    made = point("def", level, throughput=20, p50=mean / 1.06, p95=mean, p99=mean, valid=valid)
    return made.model_copy(update={"request": "/health"})


def seen(points):
    run = Run(id="", name="threads", started="", points=points)
    record = Record(Header(id="", name="threads"))
    return {"threads": Measurement(claims.plan_of("threads"), run, record)}


def test_a_route_without_calls_shows_whether_the_loop_is_blocked():
    experiment = ALL["def-blocks-the-loop"]
    free = [bystander(level, 0.002) for level in (10, 40, 80)]
    held = [bystander(level, 0.08 * level) for level in (10, 40, 80)]
    assert experiment.finding(seen(free)).verdict == "refuted"
    assert experiment.finding(seen(held)).verdict == "confirmed"


def test_a_statement_without_a_valid_point_has_a_reason_and_no_verdict():
    experiment = ALL["def-blocks-the-loop"]
    points = [bystander(10, 0.002), bystander(40, 0.002), bystander(80, 0.002, valid=False)]
    found = experiment.finding(seen(points))
    assert found.verdict is None
    assert found.why == "threads, def at 80: not valid"
    assert experiment.finding(seen(points[:1])).verdict is None
    assert experiment.finding({"threads": "it did not start"}).why == "it did not start"


def test_shares_are_counted_on_a_busy_machine_too():
    made = bystander(10, 0.002, valid=False)
    failing = made.model_copy(update={"errors": Errors(rate=0.2, kinds={"500": 15, "503": 5})})
    one = seen([failing])["threads"]
    share = one.share("def", 10, "/health", ("500",))
    assert share.value == 15 / made.requests
    assert share.low < share.value < share.high
    assert one.share("def", 10, "/health").value == 20 / made.requests
    with pytest.raises(NotMeasured, match="def at 40"):
        one.share("def", 40)


def test_the_longest_of_five_delays_is_theirs_in_theory():
    gather = Supposed("gather")  # uniform from 50 to 150 ms
    assert gather.delay == pytest.approx(0.1, rel=1e-3)
    assert gather.longest_of(5) == pytest.approx(0.05 + 0.1 * 5 / 6, rel=1e-3)


def test_an_unknown_name_is_refused_with_a_list_of_the_known_ones():
    assert [one.name for one in claims.chosen("good-page, safe-fetch")] == [
        "good-page",
        "safe-fetch",
    ]
    assert claims.chosen("") == list(ALL.values())
    with pytest.raises(claims.NoSuchClaim, match="Did you mean 'safe-fetch'"):
        claims.chosen("safe-fetsh")


@pytest.mark.usefixtures("pictures")
def test_the_page_has_every_statement_with_its_verdict_and_cases():
    experiment = ClaimExperiment(
        name="one", claim="It is so.", theory="It is.", plans=("threads",), judge=list
    )
    found = [
        judged(experiment, [case(), case(4.0, when="with 9 users", predicted=1.0)]),
        judged(replace(experiment, name="two"), []),
    ]
    text = page.render(found, {})
    assert "| It is so. | true only when | it holds with 1 user; it does not with 9 users |" in text
    assert "| with 9 users | time | 1.00 s | 4.00 s | 1.00 s | 4.00 s (not as predicted) |" in text
    assert "2 statements: 1 true only when, 1 not measured. 1 of 2 cases" in text
    assert telling.lines(found[0]).plain.startswith("true only when  It is so.")
    assert "with 9 users" in picture.svg(found)


@pytest.mark.processes
def test_the_printed_clients_hide_caught_errors_and_pass_on_others():
    faults = [{"fault": "reset", "first": 1}]
    with (
        mock_upstream.running("1ms", faults=faults) as upstream,
        serving(create_app(upstream.url, 1)) as service,
    ):
        hidden = httpx.get(f"{service}/safe-fetch/item")
        assert (hidden.status_code, list(hidden.json())) == (200, ["error"])
        for name in ("httpx", "aiohttp", "requests", "urllib3", "safe-fetch"):
            assert httpx.get(f"{service}/{name}/item").json() == {"ok": True}


@pytest.mark.processes
def test_ctrl_c_keeps_the_results_and_leaves_nothing_behind(tmp_path):
    with brownout("claims", "--only", "waits-for-ever", cwd=tmp_path) as invocation:
        invocation.until("- stuck")
        assert invocation.insist() == 130, invocation.output
    assert "Traceback" not in invocation.output
    assert "Interrupted" in invocation.output
    assert (
        (tmp_path / invocation.lines[-1].strip())
        .read_text(encoding="utf-8")
        .startswith("# Frequent statements")
    )


def test_without_a_finding_the_summary_counts_nothing():
    assert telling.summary([]) == "No statement was measured."
