"""
The users of a user's own locustfile: where each of them is, and the gate before its first task.

A user runs on_start as soon as it is there, and those of the TaskSets that lead to its first task.
Before that task it waits at a gate until all users have come so far. So the load of a stage begins
with all of its users at once, and what they send to log in is apart from it.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import Any

import gevent
from gevent.event import Event
from locust import TaskSet, User
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING

from loadtests.engine.user_watch import UserWatch

AWAITED = 0.02  # seconds between two looks at users in on_start
PARKED = 1.0  # seconds in which a user at the gate notices that it is to stop
CHANCE = 1e-3  # that users who send nothing in on_start come last by chance
_USER, _PLACE = "brownout_user", "brownout_place"


@dataclass(slots=True)
class _Place:
    """Where a user is: `begun` once it has left on_start; `sent` requests in it."""

    begun: bool = False
    sent: int = 0


@dataclass(slots=True)
class _Starts:
    """Users of one class that have left on_start: those before the first without a request."""

    with_requests: int = 0
    without: int = 0  # those since
    mixed: bool = False  # some sent requests later

    def add(self, sent: int) -> None:
        if not sent:
            self.without += 1
        elif self.without:
            self.mixed = True
        else:
            self.with_requests += 1

    @property
    def ran_out(self) -> bool:
        """Whether something ran out that each user takes in on_start, such as accounts."""
        many, none = self.with_requests, self.without
        if self.mixed or not many or not none:
            return False
        # The likelihood of this order at most, if each user sent something by chance.
        likely = many * math.log(many / (many + none)) + none * math.log(none / (many + none))
        return likely < math.log(CHANCE)


class OwnUsers:
    """Follows the users of this node; none is followed until `adopt`."""

    def __init__(self) -> None:
        self.runner: Any = None
        """Locust's, of this node."""
        self._gate = Event()
        self._spread = 0.0
        self._starts: dict[str, _Starts] = {}
        self.without = 0
        """Users of the stage that sent nothing in on_start, since it ran out."""

    def adopt(self, classes: dict[str, type[User]]) -> None:
        """Follow the users of these classes from now on."""
        for kind in classes.values():
            kind.run = self._followed(kind.run)  # type: ignore[misc, method-assign]
        execute = TaskSet.execute_next_task

        @wraps(execute)
        def execute_next_task(task_set: TaskSet) -> None:
            queue = task_set._task_queue
            if queue and not _is_task_set(queue[0]):
                self._begin(task_set.user)
            execute(task_set)

        TaskSet.execute_next_task = execute_next_task  # type: ignore[method-assign]

    def prepare(self, spread: float) -> None:
        """
        Close the gate for a stage.

        Args:
            spread: seconds over which the first tasks begin, at random.
        """
        self._gate.clear()
        self._spread = spread
        self.without = 0

    def open(self) -> None:
        self._gate.set()

    def count(self) -> int:
        """How many there are."""
        return 0 if self.runner is None else int(self.runner.user_count)

    def await_start(self, seconds: float) -> int:
        """
        Wait until all users have left on_start, for this time at most.

        Returns:
            How many are still in it.
        """
        deadline = perf_counter() + seconds
        spawning = getattr(self.runner, "spawning_greenlet", None)
        if spawning is not None:
            spawning.join(seconds)
        while (left := self.where()["starting"]) and perf_counter() < deadline:
            gevent.sleep(AWAITED)
        return left

    def end_those_starting(self) -> None:
        """End the users that are still in on_start: they would be waited for."""
        for user in self._users():
            place = getattr(user, _PLACE, None)
            if user.greenlet is not None and (place is None or not place.begun):
                user.greenlet.kill(block=False)

    def starting(self) -> bool:
        """Whether the greenlet that runs belongs to a user in on_start; a request was sent."""
        user = _owner()
        place = getattr(user, _PLACE, None)
        if place is None or place.begun:
            return False
        place.sent += 1
        return True

    def background(self) -> bool:
        """Whether the greenlet that runs belongs to no user of the locustfile."""
        return _owner() is None

    def watch(self) -> UserWatch:
        return UserWatch(self)

    def _followed(self, run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def follow(user: User) -> None:
            greenlet: Any = gevent.getcurrent()
            # The greenlets that a user starts have the same.
            greenlet.spawn_tree_locals = {**(greenlet.spawn_tree_locals or {}), _USER: user}
            setattr(user, _PLACE, _Place())
            if hasattr(user, "functions"):  # of pytest: it has neither tasks nor on_start
                self._begin(user)
            run(user)

        return follow

    def _begin(self, user: User) -> None:
        """Let a user wait at the gate before its first task."""
        place: _Place | None = getattr(user, _PLACE, None)
        if place is None or place.begun:
            return
        place.begun = True
        starts = self._starts.setdefault(type(user).__name__, _Starts())
        starts.add(place.sent)
        if starts.ran_out and not place.sent:
            self.without = max(self.without + 1, min(starts.without, self.count()))
        while not self._gate.wait(PARKED):
            _leave_if_stopped(user)
        if self._spread:
            gevent.sleep(random.uniform(0, self._spread))
        _leave_if_stopped(user)

    def where(self) -> Counter[str]:
        """How many users are where."""
        found: Counter[str] = Counter()
        for user in self._users():
            place = getattr(user, _PLACE, None)
            if place is None or not place.begun:
                found["starting"] += 1
            elif user._state == LOCUST_STATE_WAITING:
                found["waiting"] += 1
            else:
                found["running"] += 1
        return found

    def classes(self) -> Iterator[str]:
        """Return the class of each user."""
        return (type(user).__name__ for user in self._users())

    def _users(self) -> Iterator[User]:
        for greenlet in list(self.runner.user_greenlets) if self.runner else ():
            if greenlet.args:  # gevent takes them from one that has ended
                yield greenlet.args[0]


def _owner() -> User | None:
    """The user that the running greenlet belongs to."""
    found = getattr(gevent.getcurrent(), "spawn_tree_locals", None)
    return found.get(_USER) if found else None


def _is_task_set(task: Any) -> bool:
    return isinstance(task, type) and issubclass(task, TaskSet)


def _leave_if_stopped(user: User) -> None:
    if user._state == LOCUST_STATE_STOPPING:
        raise StopUser()
