"""Gauges of the limits that people meet, read of a service that has each of them."""

import asyncio
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy.util import greenlet_spawn

import mock_upstream
from app_under_test.telemetry.clients import sqlalchemy as pools
from loadtests.processes.groups import ProcessGroup, stop
from tests.app_under_test.test_telemetry import Service
from tests.conftest import a_free_port
from tests.support.servers import eventually

USERS = 20
EXECUTOR = min(32, (os.cpu_count() or 1) + 4)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The service, with gauges, behind an upstream that answers after a while."""
    folder = tmp_path_factory.mktemp("limited")
    with (
        mock_upstream.running("100ms") as upstream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gauges,
    ):
        gauges.bind(("127.0.0.1", 0))
        port = a_free_port()
        words = [sys.executable, "-m", "uvicorn", "tests.support.limited_service:app"]
        env = {
            "UPSTREAM": upstream.url,
            "BROWNOUT_TELEMETRY": f"127.0.0.1:{gauges.getsockname()[1]}/limited",
        }
        group = ProcessGroup([*words, "--port", str(port)], env, None, folder / "limited.log")
        try:
            service = Service(f"http://127.0.0.1:{port}", gauges)
            with service.client:
                eventually(lambda: listening(port) or group.ended())
                assert not group.ended(), group.last_words()
                yield service
        finally:
            stop([group])


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.processes
@pytest.mark.parametrize(
    ("path", "client", "limit"),
    [
        ("/sqlalchemy", "sqlalchemy", 3),
        ("/asyncio", "asyncio", EXECUTOR),
        ("/semaphore", "semaphore", 3),
        ("/max-concurrency", "anyio.Semaphore", 3),
        ("/async/limiter", "anyio.CapacityLimiter", 3),
        ("/async/per-host", "aiohttp.host", 3),
        ("/async/httpx", "httpx", 3),
    ],
)
def test_a_limit_reports_its_use_and_its_waiters(limited, path, client, limit):
    going = True

    def user(_: int) -> int:
        answers = 0
        while going:
            limited.ask(path).raise_for_status()
            answers += 1
        return answers

    def pool(datagram):
        kinds = (
            one for one in datagram["pools"] if (one["client"], one["limit"]) == (client, limit)
        )
        return next(kinds, None)

    with ThreadPoolExecutor(USERS) as users:
        answered = users.map(user, range(USERS))
        try:
            limited.gauges.settimeout(20)
            told = pool(
                limited.told(
                    lambda one: (found := pool(one)) and found["waiting"] > 1
                    and found["used"] > 0.5 * limit
                )
            )  # fmt: skip
        finally:
            going = False
        assert all(answered)
    assert told["used"] <= limit
    assert told["waiting"] <= USERS


def test_the_pool_of_an_asynchronous_engine_reports_its_waiters():
    class Connection:
        """What a driver gives; nothing is asked of it."""

        def rollback(self) -> None: ...

        def close(self) -> None: ...

    pool = sqlalchemy.AsyncAdaptedQueuePool(Connection, pool_size=1, max_overflow=1)
    assert pools.use(pool) == (2, 0, 0, 0)

    async def held() -> list[tuple[int | None, int, int, int]]:
        taken = [await greenlet_spawn(pool.connect) for _ in range(2)]
        waiting = [asyncio.create_task(greenlet_spawn(pool.connect)) for _ in range(3)]
        await asyncio.sleep(0)
        seen = [tuple(pools.use(pool))]
        for one in taken:
            one.close()
        for task in waiting[:2]:
            (await task).close()
        (await waiting[2]).close()
        return [*seen, tuple(pools.use(pool))]

    full, free = asyncio.run(held())
    assert full == (2, 2, 2, 3)
    assert free[2:] == (0, 0)


def test_a_pool_without_a_limit_has_none():
    pool = sqlalchemy.QueuePool(lambda: None, pool_size=5, max_overflow=-1)
    assert pools.use(pool).limit is None
    assert json.dumps(pools.use(pool)) == "[null, 0, 0, 0]"
