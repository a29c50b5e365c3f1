"""How late timers woke is told for each quarter second of a stage."""

import pytest

from loadtests.engine.lag import Lag


def test_each_quarter_second_has_the_sum_and_the_worst_of_its_timers():
    lag = Lag(at=100.0)
    for due, late in ((102.01, 0.001), (102.03, 0.004), (102.3, 0.2), (99.0, 0.0)):
        lag.record(due, late)
    told = {one.index: (one.late, one.worst) for one in lag.quarters()}
    assert told == {0: (0.0, 0.0), 8: (0.005, 0.004), 9: (0.2, 0.2)}
    assert lag.times.count == 4
    assert lag.times.quantile(0.99) == pytest.approx(0.2, rel=0.01)
