"""Telemetry of instrumented services: datagrams, gathered between two samples."""

import os
import socket
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from hmac import compare_digest
from secrets import token_urlsafe
from statistics import fmean
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loadtests.processes.groups import uninterrupted
from mock_upstream.units.documents import shortened

VARIABLE = "BROWNOUT_TELEMETRY"
LARGEST = 8192  # bytes of a datagram
PROCESSES = 64  # of one deployment, at most; those beyond are left out
RATE = 100  # datagrams of one sender between two looks; a process sends two a second
KEPT = 20  # of one process; enough for a mean
CLOSING = 0.1  # seconds that the end may take
LONGEST = 5.0  # seconds that a datagram waits to be taken: then nobody samples

OFF: Mapping[str, str | None] = {VARIABLE: None}
"""The environment of a service that is not to tell, whatever this process's own says."""

Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Name = Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Threads(_Part):
    total: Amount
    busy: Amount
    waiting: Amount


class _Loop(_Part):
    lag: Amount
    worst: Amount
    cpu: Amount | None = None


class _Pool(_Part):
    client: Name
    limit: Amount | None = None
    open: Amount
    used: Amount
    waiting: Amount


class _Collections(_Part):
    collections: Count
    seconds: Amount


class _Datagram(_Part):
    """The gauges in one process's datagram; what the process does not have is None."""

    format: Literal["brownout-gauges/1"]
    deployment: str
    secret: str = ""
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    sequence: Count
    at: Amount
    threads: _Threads | None = None
    loop: _Loop | None = None
    pools: Annotated[list[_Pool], Field(max_length=PROCESSES)] | None = None
    in_flight: Amount | None = None
    gc: _Collections | None = None
    cpu: Amount | None = None
    counts: Annotated[dict[Name, Amount], Field(max_length=40)] | None = None


class Collector:
    """
    Receives the gauges of deployments, on a free UDP port of this machine, while it is entered.

    Whatever else arrives is left out and counted: what does not have the secret of the address, and
    what a process sends that is not one of the deployment's. What nobody takes for 5 s is let go.
    """

    def __init__(self, deployments: Collection[str]) -> None:
        """
        Args:
            deployments: the names of those whose telemetry is accepted.
        """
        self._deployments = frozenset(deployments)
        self._secret = token_urlsafe(16)
        self._sessions: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)
        self._stopping = False
        self._lock = threading.Lock()  # of all below
        self._left_out = 0
        self._first = ""
        self._forget()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(CLOSING)
        self._socket.bind(("127.0.0.1", 0))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._stopping = True
            self._thread.join()
            self._socket.close()

    def environment(self, deployment: str) -> Mapping[str, str]:
        """What makes a service tell us, for its processes."""
        host, port = self._socket.getsockname()
        return {VARIABLE: f"{host}:{port}/{quote(deployment, safe='')}/{self._secret}"}

    def started(self, deployment: str, session: int) -> None:
        """
        Take this deployment's gauges from the processes of one session alone.

        Args:
            session: the id of its first process.
        """
        self._sessions[deployment] = session

    def take(self) -> dict[str, dict[str, Any]]:
        """
        What was told since the last call, by deployment and process id (as text).

        Of several datagrams of one process: the means of means, the highest of maxima, the last of
        what counts from the start of the process, and of settings. Keys as in the datagram; what
        a process does not have is absent.
        """
        with self._lock:
            heard = self._heard
            self._forget()
        return {
            deployment: {str(pid): _merged(seen) for pid, seen in processes.items()}
            for deployment, processes in heard.items()
        }

    def complaint(self) -> str | None:
        """What was left out since the last call, in one sentence; None: nothing."""
        with self._lock:
            count, self._left_out = self._left_out, 0
            first = self._first
        if not count:
            return None
        what = "1 datagram" if count == 1 else f"{count:,} datagrams"
        return f"{what} of the services' gauges could not be used, the first because {first}"

    def _forget(self) -> None:
        self._heard: dict[str, dict[int, deque[_Datagram]]] = {}
        self._senders: Counter[Any] = Counter()
        self._since = time.monotonic()

    def _run(self) -> None:
        while not self._stopping:
            try:
                data, sender = self._socket.recvfrom(LARGEST + 1)
            except TimeoutError:
                continue
            except OSError as error:
                self._leave_out(f"receiving failed: {error}")
                time.sleep(CLOSING)  # it may fail again at once
                continue
            with self._lock:
                if time.monotonic() - self._since > LONGEST:
                    self._forget()
                try:
                    reason = self._refused(data, sender)
                except Exception as error:  # one datagram must not end the thread
                    reason = f"it led to {error!r:.80}"
                if reason:
                    self._leave_out(reason)

    def _leave_out(self, reason: str) -> None:
        self._first = reason if not self._left_out else self._first
        self._left_out += 1

    def _refused(self, data: bytes, sender: Any) -> str | None:
        """Why the datagram is left out; None: it was kept, or its process has ended since."""
        self._senders[sender] += 1
        if self._senders[sender] > RATE:
            return f"one sender sent more than {RATE} a second"
        if len(data) > LARGEST:
            return f"it is longer than {LARGEST:,} bytes"
        try:
            datagram = _Datagram.model_validate_json(data)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = shortened(".".join(map(str, wrong["loc"]))) or "the whole"
            return f"{where} is wrong: {wrong['msg']}"
        if datagram.deployment not in self._deployments:
            return f"{datagram.deployment!r:.60} is not a deployment that was started"
        if not compare_digest(datagram.secret.encode(errors="replace"), self._secret.encode()):
            return "its secret is not the one of this run"
        session = self._sessions.get(datagram.deployment)
        try:
            if session is not None and os.getsid(datagram.pid) != session:
                return f"process {datagram.pid} is none of {datagram.deployment!r:.60}"
        except OSError:
            return None
        processes = self._heard.setdefault(datagram.deployment, {})
        if datagram.pid not in processes and len(processes) >= PROCESSES:
            return f"{datagram.deployment!r} has more than {PROCESSES} processes"
        processes.setdefault(datagram.pid, deque(maxlen=KEPT)).append(datagram)
        return None


def _merged(seen: Collection[_Datagram]) -> dict[str, Any]:
    """One process's datagrams as one."""
    ordered = sorted(seen, key=lambda one: one.at)
    parts = {
        "threads": _threads([one.threads for one in ordered if one.threads]),
        "loop": _loop([one.loop for one in ordered if one.loop]),
        "pools": _pools([one.pools for one in ordered if one.pools is not None]),
        "in_flight": _mean(one.in_flight for one in ordered if one.in_flight is not None),
    }
    found = {name: part for name, part in parts.items() if part is not None}
    counted = {"gc", "cpu", "counts", "at"}
    return found | ordered[-1].model_dump(include=counted, exclude_none=True)


def _threads(seen: Sequence[_Threads]) -> dict[str, Any] | None:
    if not seen:
        return None
    return {
        "total": seen[-1].total,
        "busy": _mean(one.busy for one in seen),
        "waiting": _mean(one.waiting for one in seen),
    }


def _loop(seen: Sequence[_Loop]) -> dict[str, Any] | None:
    if not seen:
        return None
    found = {"lag": _mean(one.lag for one in seen), "worst": max(one.worst for one in seen)}
    return found | seen[-1].model_dump(include={"cpu"}, exclude_none=True)


def _pools(seen: Sequence[Sequence[_Pool]]) -> list[dict[str, Any]] | None:
    """
    A pool is known by its client and its limit, and by its place among several of these; it was
    empty where it was not told.
    """
    if not seen:
        return None
    same: dict[tuple[str, float | None, int], list[_Pool]] = defaultdict(list)
    for pools in seen:
        places: Counter[tuple[str, float | None]] = Counter()
        for pool in pools:
            kind = pool.client, pool.limit
            same[*kind, places[kind]].append(pool)
            places[kind] += 1
    return [
        {
            "client": client,
            "limit": limit,
            "open": round(sum(pool.open for pool in several) / len(seen), 6),
            "used": round(sum(pool.used for pool in several) / len(seen), 6),
            "waiting": round(sum(pool.waiting for pool in several) / len(seen), 6),
        }
        for (client, limit, _), several in same.items()
    ]


def _mean(values: Iterable[float]) -> float | None:
    seen = list(values)
    return round(fmean(seen), 6) if seen else None
