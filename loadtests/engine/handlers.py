"""The locustfile's handlers of Locust's events: when they are called, and what they raise.

For a locustfile each stage is a test of its own: `test_start`, `test_stopping` and `test_stop` come
with each stage, when `environment.host` is the deployment's. Locust swallows what a handler raises;
here it ends the run, since what the handler was to prepare is missing.
"""

import logging
import traceback
from argparse import ArgumentError
from collections import Counter
from collections.abc import Callable
from typing import Any

from gevent.hub import Hub
from locust import events, log
from locust.event import EventHook
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)

from loadtests.engine import locations

_OF_STAGES = ("test_start", "test_stopping", "test_stop")
_COUNTED = ("request", "user_error", "heartbeat_sent", "heartbeat_received", "usage_monitor")
"""Events that come all the time: what is raised there is counted, and ends no run."""
_FOR_LOCUST = (StopUser, StopTest, RescheduleTask, RescheduleTaskImmediately, InterruptTaskSet)
MOST = 20  # kinds of exceptions that are counted


class Handlers:
    """
    Calls the handlers of Locust's events, and catches what those of the locustfile raise.

    Args:
        own_tasks: whether the users of the locustfile play, and not ours.
    """

    def __init__(self, own_tasks: bool) -> None:
        self._own_tasks = own_tasks
        self._of_stage = False
        self.failed: Callable[[str], None] = lambda _: None
        """Called with what went wrong in a handler of the locustfile."""
        self._errors: Counter[str] = Counter()

    def install(self) -> None:
        """Take the place of the way in which Locust calls handlers."""

        def fire(hook: EventHook, *, reverse: bool = False, **values: Any) -> None:
            self._fire(hook, reverse, values)

        EventHook.fire = fire  # type: ignore[assignment, method-assign]
        events.user_error.add_listener(self.count)
        end = Hub.handle_system_error

        def handle_system_error(hub: Hub, kind: Any, error: Any, trace: Any = None) -> None:
            """Greenlets that raise SystemExit end the process; those of the locustfile say so."""
            if isinstance(error, SystemExit) and locations.is_raised_there(error):
                said = locations.described(error)
                self.failed(f"the locustfile ended the load generator: {said}")
            else:
                end(hub, kind, error, trace)

        Hub.handle_system_error = handle_system_error  # type: ignore[method-assign, assignment]

    def drain(self) -> dict[str, int]:
        """Return how often each exception was raised by the locustfile since the last call."""
        counted, self._errors = self._errors, Counter()
        return dict(counted)

    def count(self, exception: BaseException, **_: Any) -> None:
        """Locust's `user_error` event: a task or on_start raised an exception."""
        self._count(locations.described(exception))

    def begin_stage(self, environment: Any) -> None:
        """A stage begins on this node: fire `test_start` for the locustfile, and nobody else."""
        self._of_stage = True
        events.test_start.fire(environment=environment)

    def end_stage(self, environment: Any) -> None:
        """Fire the events of a test's end for the locustfile, and nobody else."""
        for event in (events.test_stopping, events.test_stop):
            self._of_stage = True
            event.fire(environment=environment)

    def _fire(self, hook: EventHook, reverse: bool, values: dict[str, Any]) -> None:
        name = next((name for name, one in vars(events).items() if one is hook), "")
        # A copy: handlers add and remove others.
        handlers = hook._handlers[::-1] if reverse else hook._handlers.copy()
        due = [
            (one, theirs)
            for one in handlers
            if self._is_due(name, theirs := _is_theirs(one), values)
        ]
        self._of_stage = False  # an event that one of these fires, as by runner.quit(), is Locust's
        for handler, theirs in due:
            try:
                handler(**values)
            except _FOR_LOCUST:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, SystemExit) and not theirs:
                    raise
                logging.error("Uncaught exception in event handler: \n%s", traceback.format_exc())
                log.unhandled_greenlet_exception = True
                if theirs:
                    self._take(name, error, values)

    def _is_due(self, name: str, theirs: bool, values: dict[str, Any]) -> bool:
        if not self._own_tasks or name not in (*_OF_STAGES, "spawning_complete"):
            return True
        if name == "spawning_complete":  # Locust says so, too, when a stage has stopped its users
            return not theirs or bool(values.get("user_count"))
        return theirs == self._of_stage

    def _take(self, name: str, error: BaseException, values: dict[str, Any]) -> None:
        text = f"the locustfile's handler of {name or 'an event'} failed: "
        text += locations.described(error) + _way_out(name, error, values)
        if name in _COUNTED:
            self._count(text)
        else:
            self.failed(text)

    def _count(self, text: str) -> None:
        if text in self._errors or len(self._errors) < MOST:
            self._errors[text] += 1


def _way_out(name: str, error: BaseException, values: dict[str, Any]) -> str:
    """What the message adds where the mistake is a common one."""
    if isinstance(error, ArgumentError):
        return "; Locust has an option of this name itself: give the locustfile's another one"
    if name == "init" and getattr(values.get("environment"), "host", "") is None:
        return "; environment.host is not known before the first stage: do this in test_start"
    return ""


def _is_theirs(handler: Any) -> bool:
    code = getattr(handler, "__code__", None) or getattr(handler, "__func__", None)
    code = getattr(code, "__code__", code)
    filename = getattr(code, "co_filename", None)
    if filename is not None:
        return locations.is_theirs(filename)
    module = str(getattr(handler, "__module__", ""))
    return module.partition(".")[0] not in ("locust", "loadtests")
