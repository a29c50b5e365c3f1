"""Readers with one fault each, for tests of the fuzzer: only VALID does not show it."""

import os
from collections.abc import Callable

from hypothesis import strategies as st

from tests.support.fuzzing import Target

VALID = b"2 + 5 = 7"


def _target(fault: Callable[[], object]) -> Target:
    def play(data: bytes) -> bool:
        if data != VALID:
            fault()
        return True

    return Target(play, [VALID], st.just(VALID))


def crashing() -> Target:
    return _target(lambda: {}["missing"])


def hanging() -> Target:
    def fault() -> None:
        while True:
            pass

    return _target(fault)


def stuck() -> Target:
    return _target(lambda: sum(range(10**12)))  # sees no signal before its end


def greedy() -> Target:
    kept: list[bytes] = []
    return _target(lambda: kept.append(b"x" * 250_000_000))


def dying() -> Target:
    return _target(lambda: os._exit(9))
