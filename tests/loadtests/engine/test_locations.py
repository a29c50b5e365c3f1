"""The line of the user's code that did something, as found from the stack."""

import gevent

from loadtests.engine import locations


def test_a_greenlet_that_runs_none_of_their_code_has_the_line_that_spawned_it():
    """A locustfile has gevent.spawn_later(60, environment.runner.quit), say."""
    found = gevent.spawn(locations.caller).get()
    assert found.startswith("test_locations.py, line 10, in test_a_greenlet")
