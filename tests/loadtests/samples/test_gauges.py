"""Gauges: what arrives as datagrams, true or not, and what becomes of it."""

import json
import math
import os
import re
import socket
import subprocess
import threading
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.samples import gauges
from loadtests.samples.gauges import KEPT, LARGEST, PROCESSES, RATE, VARIABLE, Collector
from tests.support.servers import eventually

FULL = {
    "threads": {"total": 40, "busy": 10.0, "waiting": 0.0},
    "loop": {"lag": 0.001, "worst": 0.01, "cpu": 3.0},
    "pools": [
        {"client": "httpx", "limit": 100, "open": 4.0, "used": 2.0, "waiting": 0.0},
        {"client": "httpx", "limit": 5, "open": 5.0, "used": 5.0, "waiting": 9.0},
        {"client": "urllib3", "limit": None, "open": 1.0, "used": 1.0, "waiting": 0.0},
    ],
    "in_flight": 12.0,
    "gc": {"collections": 3, "seconds": 0.01},
    "cpu": 4.0,
    "counts": {"requests": 7, "call_seconds": 0.3},
}


def datagram(deployment="shop", pid=1, at=100.0, sequence=0, **parts):
    return {
        "format": "brownout-gauges/1",
        "deployment": deployment,
        "pid": pid,
        "sequence": sequence,
        "at": at,
        **parts,
    }


class Sender:
    """A process of a service, as far as its datagrams go."""

    def __init__(self, variable):
        matched = re.fullmatch(r"([\d.]+):(\d+)/([^/]*)/([\w-]{20,})", variable)
        host, port, self.name, self.secret = matched.groups()
        self.address = host, int(port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, what):
        if isinstance(what, dict):
            what = {"secret": self.secret} | what
        data = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.socket.sendto(data, self.address)


def sending(collector, deployment="shop"):
    return Sender(collector.environment(deployment)[VARIABLE])


def taken(collector, sender, deployment="shop"):
    """All that was sent before: UDP on loopback keeps the order, and the last one is a mark."""
    mark = 2**31 - 1
    sender.send(datagram(deployment, pid=mark))
    eventually(lambda: mark in collector._heard.get(deployment, {}))
    told = collector.take()
    del told[deployment][str(mark)]
    return told


@pytest.fixture(scope="module")
def collector():
    with Collector(["shop"]) as one:
        yield one


def test_gauges_of_a_process_appear_once(collector):
    with sending(collector) as sender:
        sender.send(datagram(pid=17, **FULL))
        assert taken(collector, sender) == {"shop": {"17": FULL | {"at": 100.0}}}
        assert collector.take() == {}
        assert collector.complaint() is None


def test_of_several_datagrams_means_are_averaged_maxima_kept_and_counts_are_the_last(collector):
    with sending(collector) as sender:
        later = json.loads(json.dumps(FULL))
        later["threads"] |= {"busy": 20.0, "waiting": 3.0, "total": 50}
        later["loop"] |= {"lag": 0.003, "worst": 0.002, "cpu": 3.5}
        later["pools"] = [later["pools"][1] | {"waiting": 1.0}, later["pools"][0]]
        later |= {"in_flight": 13.0, "cpu": 4.25, "counts": {"requests": 9}}
        later["gc"]["collections"] = 4
        sender.send(datagram(at=101.0, sequence=1, **later))
        sender.send(datagram(at=100.0, sequence=0, **FULL))  # overtaken on its way
        found = taken(collector, sender)["shop"]["1"]
    assert found["threads"] == {"total": 50, "busy": 15.0, "waiting": 1.5}
    assert found["loop"] == {"lag": 0.002, "worst": 0.01, "cpu": 3.5}
    assert [pool["limit"] for pool in found["pools"]] == [100, 5, None]
    assert [pool["waiting"] for pool in found["pools"]] == [0.0, 5.0, 0.0]
    assert [pool["used"] for pool in found["pools"]] == [2.0, 5.0, 0.5]
    assert (found["in_flight"], found["cpu"], found["at"]) == (12.5, 4.25, 101.0)
    assert (found["gc"]["collections"], found["counts"]) == (4, {"requests": 9})


def test_missing_gauges_of_a_process_are_absent(collector):
    with sending(collector) as sender:
        sender.send(datagram(cpu=1.5))
        assert taken(collector, sender)["shop"] == {"1": {"at": 100.0, "cpu": 1.5}}


def test_names_of_any_kind_find_their_deployment():
    names = ["threads[20,2]", "a/b c", "größe", "100%"]
    with Collector(names) as collector:
        for name in names:
            with sending(collector, name) as sender:
                assert re.fullmatch(r"[\w.%~-]+", sender.name)
                assert unquote(sender.name) == name
                sender.send(datagram(name, cpu=1.0))
                assert set(taken(collector, sender, name)[name]) == {"1"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"", "EOF"),
        (b"\xff\x00", "the whole is wrong"),
        (b"[" * LARGEST, "recursion"),
        (b" " * (LARGEST + 1), "longer than 8,192 bytes"),
        ([], "the whole is wrong"),
        (datagram() | {"format": "brownout-gauges/2"}, "brownout-gauges/1"),
        (datagram("other"), "'other' is not a deployment"),
        (datagram(pid=0), "pid is wrong"),
        (datagram(pid=True), "pid is wrong"),
        (datagram(cpu=math.nan), "cpu is wrong"),
        (datagram(cpu="1"), "cpu is wrong"),
        (datagram(in_flight=-1), "in_flight is wrong"),
        (datagram(at=1e300), "at is wrong"),
        (datagram(counts={"requests": 10**30}), "counts.requests is wrong"),
        (datagram(counts={"<script>": 1}), "counts.<script>"),
        (datagram(counts={f"c{n}": 1 for n in range(41)}), "counts is wrong"),
        (datagram(threads={"total": 1}), "threads.busy is wrong"),
        (datagram(pools=[{"client": "a b"}]), "pools.0.client is wrong"),
        (datagram(secret="guessed"), "its secret is not the one of this run"),
        (datagram(secret="\u00e9"), "its secret is not the one"),
        (json.dumps(datagram()).encode(), "its secret is not the one of this run"),
    ],
)
def test_invalid_gauges_are_left_out_and_reported_once(collector, wrong, says):
    with sending(collector) as sender:
        sender.send(wrong)
        assert taken(collector, sender) == {"shop": {}}
    complaint = collector.complaint()
    assert complaint.startswith("1 datagram of the services' gauges could not be used")
    assert says in complaint
    assert "\n" not in complaint
    assert collector.complaint() is None


def left_out(collector, count):
    """Waits until this many were."""
    seen = []

    def enough():
        if text := collector.complaint():
            seen.append(int(text.split()[0]))
        return sum(seen) >= count

    eventually(enough)
    assert sum(seen) == count


@pytest.mark.processes
def test_gauges_from_a_process_of_another_session_are_left_out():
    with (
        subprocess.Popen(["sleep", "60"], start_new_session=True) as sleeper,
        Collector(["shop"]) as collector,
        sending(collector) as sender,
    ):
        collector.started("shop", os.getsid(0))
        sender.send(datagram(pid=os.getpid(), cpu=1.0))
        sender.send(datagram(pid=sleeper.pid, cpu=9.0))
        eventually(lambda: os.getpid() in collector._heard.get("shop", {}) and collector._left_out)
        sleeper.kill()
        assert collector.take() == {"shop": {str(os.getpid()): {"at": 100.0, "cpu": 1.0}}}
        said = f"the first because process {sleeper.pid} is none of 'shop'"
        assert collector.complaint().endswith(said)


def test_datagrams_of_ended_processes_are_dropped_silently():
    with Collector(["shop"]) as collector, sending(collector) as sender:
        collector.started("shop", os.getsid(0))
        sender.send(datagram(pid=2**31 - 2))
        sender.send(datagram(pid=os.getpid()))
        eventually(lambda: collector._heard.get("shop"))
        assert set(collector.take()["shop"]) == {str(os.getpid())}
        assert collector.complaint() is None


def test_a_datagram_that_fails_in_a_way_of_its_own_does_not_end_the_others(monkeypatch):
    with Collector(["shop"]) as collector, sending(collector) as sender:
        with monkeypatch.context() as patch:
            patch.setattr(gauges._Datagram, "model_validate_json", lambda _: 1 / 0)
            sender.send(datagram())
            eventually(lambda: collector._left_out)
        sender.send(datagram(cpu=1.0))
        assert set(taken(collector, sender)["shop"]) == {"1"}
        assert "ZeroDivisionError" in collector.complaint()


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
GARBAGE = st.binary(max_size=200) | st.fixed_dictionaries(
    {name: st.just(part) for name, part in datagram().items()},
    optional={name: VALUES | st.just(part) for name, part in FULL.items()},
)


@given(st.lists(GARBAGE, max_size=5))
def test_only_valid_gauges_are_accepted_and_they_are_json(collector, several):
    with sending(collector) as sender:
        for one in several:
            sender.send(one)
        told = taken(collector, sender)
    json.dumps(told, allow_nan=False)
    assert set(told) == {"shop"}
    assert set(told["shop"]) <= {"1"}
    collector.complaint()


def test_the_processes_of_a_deployment_are_bounded():
    with Collector(["shop"]) as collector:
        for pid in range(1, PROCESSES + 10):
            with sending(collector) as sender:
                sender.send(datagram(pid=pid))
        with sending(collector) as last:
            last.send(datagram(pid=1, cpu=1.0))  # one that is known goes on
            last.send(datagram("nobody"))
            left_out(collector, 10)
        found = collector.take()["shop"]
    assert set(found) == {str(pid) for pid in range(1, PROCESSES + 1)}
    assert found["1"]["cpu"] == 1.0


def test_reading_endless_datagrams_ends_until_the_next_sample():
    with Collector(["shop"]) as collector, sending(collector) as flood:
        for number in range(RATE + 50):
            flood.send(datagram(at=float(number), in_flight=float(number)))
        left_out(collector, 50)
        found = collector.take()["shop"]["1"]
        assert found["at"] == RATE - 1
        assert found["in_flight"] == RATE - 1 - (KEPT - 1) / 2  # of the last few
        assert taken(collector, flood) == {"shop": {}}


def test_unread_gauges_are_dropped(monkeypatch):
    monkeypatch.setattr(gauges, "LONGEST", 0.0)
    with Collector(["shop"]) as collector, sending(collector) as sender:
        sender.send(datagram(pid=3))
        sender.send(datagram(pid=4))
        assert set(taken(collector, sender)) == {"shop"}
        sender.send(datagram(pid=5))
        eventually(lambda: collector.take() == {"shop": {"5": {"at": 100.0}}})


def test_nothing_is_left_at_the_end():
    before = set(threading.enumerate())
    collector = Collector(["shop"])
    with pytest.raises(RuntimeError, match="of the block"), collector:
        raise RuntimeError("of the block")
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        collector.environment("shop")


def test_a_complaint_about_a_datagram_is_always_short():
    with Collector(["shop"]) as collector, sending(collector) as sender:
        sender.send(datagram(counts={"x" * 5000: 1.0}))
        said = [None]
        eventually(lambda: said.append(collector.complaint()) or said[-1])
        assert "could not be used" in said[-1]
        assert len(said[-1]) < 700
