"""Looks at the users of a locustfile while a stage is measured."""

from collections import Counter
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Protocol

import gevent

from loadtests.recording.messages import UserCounts

LOOK = 0.25  # seconds between two looks at the users


class WatchedUsers(Protocol):
    """The users of this node."""

    without: int
    """Those of the stage that sent nothing in on_start although earlier ones had."""

    def where(self) -> Counter[str]:
        """How many are running, waiting, and starting."""
        ...

    def classes(self) -> Iterable[str]:
        """The class of each."""
        ...


class UserWatch:
    """Takes its first look at once."""

    def __init__(self, users: WatchedUsers) -> None:
        self._users = users
        self._looks = 0
        self._where: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._least: int | None = None
        self._look()

    def run(self, until: Callable[[], float]) -> None:
        """Look again and again until that moment (`perf_counter`), at which users are stopped."""
        while True:
            gevent.sleep(LOOK)
            if perf_counter() >= until():  # a busy machine wakes it after users were stopped
                return
            self._look()

    def counts(self) -> UserCounts:
        each = {name: count / self._looks for name, count in self._where.items()}
        return UserCounts(
            running=each.get("running", 0.0),
            waiting=each.get("waiting", 0.0),
            starting=each.get("starting", 0.0),
            least=self._least or 0,
            classes={name: count / self._looks for name, count in self._classes.items()},
            without=self._users.without,
        )

    def _look(self) -> None:
        where = self._users.where()
        self._looks += 1
        self._where.update(where)
        self._classes.update(self._users.classes())
        least = where["running"] + where["waiting"]
        self._least = least if self._least is None else min(self._least, least)
