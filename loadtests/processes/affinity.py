"""Which core does what, so that the load generator and what it measures do not compete for one."""

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from loadtests.processes.proc import threads


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of the deployments, of the mock and of the generator."""

    apps: frozenset[int]
    mock: frozenset[int]
    generator: frozenset[int]
    pinned: bool
    """False where the system cannot pin: then these are wishes."""

    @classmethod
    def here(cls) -> "Cores":
        """The cores that this process may use."""
        if sys.platform != "linux":
            return cls.among(range(os.cpu_count() or 1), pinned=False)
        available: Collection[int] = range(os.cpu_count() or 1)
        try:
            available = os.sched_getaffinity(0)
            os.sched_setaffinity(0, available)  # no change; some sandboxes forbid even that
        except OSError:
            return cls.among(available, pinned=False)
        return cls.among(available, pinned=True)

    @classmethod
    def among(cls, available: Collection[int], *, pinned: bool) -> "Cores":
        """
        One core: everything shares it. Two: the deployments have one. More: mock and generator
        have one each, the deployments the rest.
        """
        mock, *others = sorted(available)
        generator = others[0] if len(others) > 1 else mock
        apps = others[1:] or others or [mock]
        return cls(frozenset(apps), frozenset({mock}), frozenset({generator}), pinned)

    @property
    def shared(self) -> bool:
        """Whether generator and deployments share a core, which spoils what is measured."""
        return not self.pinned or bool(self.generator & self.apps)

    @contextmanager
    def pinned_to(self, cores: Collection[int]) -> Iterator[None]:
        """Pins this thread, and so whatever it starts within the block."""
        if sys.platform != "linux" or not self.pinned:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    @contextmanager
    def moved_to(self, cores: Collection[int], pid: int) -> Iterator[None]:
        """
        Pins all threads of a process that runs already, and those that they start within the block;
        afterwards they may go where they could before. One that may not be pinned stays as it is.
        """
        if sys.platform != "linux" or not self.pinned:
            yield
            return
        before = {thread: _affinity(thread) for thread in threads(pid)}
        for thread in before:
            _pin(thread, cores)
        try:
            yield
        finally:
            for thread in threads(pid):
                _pin(thread, before.get(thread) or before.get(pid))

    def described(self) -> dict[str, Any]:
        """The cores, as the record of a run stores them."""
        return {
            "apps": sorted(self.apps),
            "mock": sorted(self.mock),
            "generator": sorted(self.generator),
            "pinned": self.pinned,
            "shared": self.shared,
        }


def _affinity(thread: int) -> set[int] | None:
    with suppress(OSError):  # it may have ended
        return os.sched_getaffinity(thread)
    return None


def _pin(thread: int, cores: Collection[int] | None) -> None:
    if cores:
        with suppress(OSError):
            os.sched_setaffinity(thread, cores)
