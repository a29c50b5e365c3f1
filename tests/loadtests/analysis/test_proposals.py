"""A message proposes a length that a plan takes and that one can wait for, or says so."""

import math

import pytest

from loadtests.analysis import goals, proposals
from loadtests.analysis.inputs.records import Header, Record
from loadtests.results import Estimate
from mock_upstream.units.durations import parse_duration
from tests.support.example_runs import point


@pytest.mark.parametrize("seconds", [0.1, 1.1, 9.9, 53.2, proposals.LONGEST])
def test_a_proposed_length_is_enough_and_can_be_typed(seconds):
    text = proposals.measure(seconds).removeprefix('measure = "').removesuffix('"')
    assert seconds <= parse_duration(text) < seconds + 1.5


@pytest.mark.parametrize("seconds", [proposals.LONGEST + 1, 12_688.0, math.inf])
def test_an_impractical_length_is_not_proposed(seconds):
    assert proposals.measure(seconds) is None


def said_of_p95(half):
    one = point("a", 1, throughput=20.0, p50=0.06, p95=0.1, p99=0.2)
    wide = Estimate(value=0.1, low=0.09, high=0.1 * (1 + half))
    one = one.model_copy(update={"seconds": 15.0, "response_time": {"p95": wide}})
    plan = {"load": {"levels": [1]}}
    [found] = goals.marked([one], Record(Header(id="x", name="x", plan=plan)))
    return found.problems[-1]


def test_a_wide_interval_proposes_a_length_or_says_that_none_is_practical():
    assert said_of_p95(0.3).endswith('; measure = "136s" would give 10 %')
    assert said_of_p95(2.9) == (
        "p95 is known to 290 % in 15 s; even 10 minutes would not give 10 %: look at p50 instead"
    )
