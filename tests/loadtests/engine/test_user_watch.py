"""Looks at the users of a locustfile: those after the end of the stage do not count."""

from collections import Counter

import pytest

from loadtests.engine import user_watch
from loadtests.engine.user_watch import UserWatch


class Users:
    """Two in a task and one that waits, until they are `gone`."""

    without = 0
    gone = False

    def where(self):
        return Counter() if self.gone else Counter(running=2, waiting=1)

    def classes(self):
        return [] if self.gone else ["A", "A", "B"]


def test_a_look_that_comes_after_users_were_stopped_is_not_counted(monkeypatch):
    users, moments = Users(), iter([1.0, 2.0, 3.1])
    monkeypatch.setattr("gevent.sleep", lambda _: None)

    def moment():
        now = next(moments)
        users.gone = now > 3.0
        return now

    monkeypatch.setattr(user_watch, "perf_counter", moment)
    watch = UserWatch(users)
    watch.run(lambda: 3.0)
    found = watch.counts()
    assert found.least == 3
    assert (found.running, found.waiting) == (2, 1)
    assert found.classes == pytest.approx({"A": 2, "B": 1})


def test_a_stage_that_is_over_before_the_second_look_has_the_first_one():
    assert UserWatch(Users()).counts().least == 3
