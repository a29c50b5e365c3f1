"""Deadlines are never early, on any event loop."""

import asyncio
import random
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mock_upstream.timing import deadlines

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


def test_deadlines_fire_in_order_of_time(
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


def test_a_cancelled_deadline_does_not_delay_others(run: Callable[[Any], Any]) -> None:
    async def wait() -> None:
        wheel, now = deadlines.Deadlines(), time.monotonic()
        try:
            wheel.at(now + 0.002).cancel()
            wheel.at(now + 0.003).set_result(None)
            await wheel.at(now + 0.004)
        finally:
            wheel.close()

    run(wait())


def test_a_function_is_called_once_its_time_has_come(run: Callable[[Any], Any]) -> None:
    async def ring() -> list[float]:
        wheel, rung, when = deadlines.Deadlines(), asyncio.Event(), time.monotonic() + 0.01
        calls: list[float] = []
        wheel.call_at(when, lambda: (calls.append(time.monotonic() - when), rung.set())[0])
        await rung.wait()
        wheel.close()
        return calls

    (late,) = run(ring())
    assert late >= 0


def test_cancelled_deadlines_are_not_kept(run: Callable[[Any], Any]) -> None:
    async def called_off() -> int:
        wheel = deadlines.Deadlines()
        futures: list[weakref.ref[Any]] = []
        kept = [wheel.at(time.monotonic() + 3600) for _ in range(10)]
        for _ in range(5000):
            future = wheel.at(time.monotonic() + 3600)
            future.set_result(None)
            futures.append(weakref.ref(future))
            del future
            wheel.called_off()
        wheel.close()
        assert not any(future.done() for future in kept)
        return sum(future() is not None for future in futures)

    assert run(called_off()) < 2500
