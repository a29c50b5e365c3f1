"""Deadlines are never early, on any event loop."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mock_upstream import deadlines

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["timerfd", "loop timers"], autouse=True)
def _timers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "timerfd" and not deadlines.EXACT:
        pytest.skip("no timerfd on this system")
    monkeypatch.setattr(deadlines, "EXACT", request.param == "timerfd")


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return run


def test_no_deadline_is_early(run: Callable[[Any], Any]) -> None:
    async def wait(wheel: deadlines.Deadlines, when: float) -> float:
        await wheel.at(when)
        return time.monotonic() - when

    async def many() -> list[float]:
        wheel, chance, now = deadlines.Deadlines(), random.Random(1), time.monotonic()
        whens = [now + chance.uniform(-0.001, 0.05) for _ in range(300)]
        try:
            return await asyncio.gather(*(wait(wheel, when) for when in whens))
        finally:
            wheel.close()

    assert min(run(many())) >= 0


def test_deadlines_come_in_their_order_whatever_the_order_they_were_set_in(
    run: Callable[[Any], Any],
) -> None:
    async def order() -> list[int]:
        wheel, now = deadlines.Deadlines(), time.monotonic()
        done: list[int] = []

        async def wait(place: int) -> None:
            await wheel.at(now + place / 200)
            done.append(place)

        try:
            await asyncio.gather(*(wait(place) for place in (5, 1, 3, 2, 4, 2)))
        finally:
            wheel.close()
        return done

    assert run(order()) == [1, 2, 2, 3, 4, 5]


def test_a_wait_that_was_called_off_does_not_hold_up_the_others(run: Callable[[Any], Any]) -> None:
    async def wait() -> None:
        wheel, now = deadlines.Deadlines(), time.monotonic()
        try:
            wheel.at(now + 0.002).cancel()
            wheel.at(now + 0.003).set_result(None)
            await wheel.at(now + 0.004)
        finally:
            wheel.close()

    run(wait())
