"""A request says what it wants, and is told when that cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream import faults
from mock_upstream.latency.parser import parse as latency
from mock_upstream.overrides import OverrideError, Overrides, parse
from mock_upstream.units.sizes import parse_size as size


def refused(*headers: tuple[bytes, bytes], query: bytes = b"", **caps: float) -> str:
    with pytest.raises(OverrideError) as error:
        parse(headers, query, **caps)  # type: ignore[arg-type]
    return str(error.value)


def test_a_request_without_overrides_has_none() -> None:
    assert parse([], b"") is None
    assert parse([(b"host", b"x"), (b"x-request-id", b"1")], b"page=2&hammock_size=3") is None


def test_headers_and_query_ask_for_the_same_things() -> None:
    wanted = Overrides(
        latency=latency("uniform(20ms,80ms)"),
        status=503,
        fault=faults.load("reset-mid-body")(),
        size=size("10kB"),
        key=b"order-7",
    )
    texts = {
        "latency": "uniform(20ms,80ms)",
        "status": "503",
        "fault": "reset-mid-body",
        "size": "10kB",
        "key": "order-7",
    }
    headers = [(f"x-mock-{name}".encode(), text.encode()) for name, text in texts.items()]
    query = "&".join(f"mock_{name}={text}" for name, text in texts.items())
    assert parse(headers, b"page=2") == wanted
    assert parse([], query.encode()) == wanted
    assert parse(headers[:2], query.split("&", 2)[2].encode()) == wanted


def test_a_query_is_decoded() -> None:
    asked = parse([], b"x=1&mock_latency=uniform%281ms%2C+2ms%29&mock_key=%C3%BC")
    assert asked == Overrides(latency=latency("uniform(1ms, 2ms)"), key="ü".encode())


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_can_be_asked_for(name: str) -> None:
    asked = parse([(b"x-mock-fault", name.encode())], b"")
    assert asked
    assert asked.fault
    assert asked.fault.name == name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (b"latency", b"fast", "X-Mock-Latency: there is no latency called 'fast'"),
        (b"latency", b"50", "X-Mock-Latency: '50' has no unit"),
        (b"latency", b"", "X-Mock-Latency: the latency is empty"),
        (b"latency", b"file(/etc/secrets.csv)", "reads a file, which only a profile can"),
        (b"latency", b" " * 201, "X-Mock-Latency has more than 200 characters"),
        (b"status", b"999", "X-Mock-Status: '999' is not a status; they are 200 to 599"),
        (b"status", b"+503", "X-Mock-Status: '+503' is not a status"),
        (b"status", "²00".encode(), "is not a status"),
        (b"fault", b"explode", "X-Mock-Fault: there is no fault 'explode'; there are: close"),
        (b"fault", b"../capacity", "X-Mock-Fault: there is no fault '../capacity'"),
        (b"size", b"10", "X-Mock-Size: '10' has no unit"),
        (b"size", b"1e12B", "X-Mock-Size: '1e12B' is above 1GB"),
        (b"key", b"", "X-Mock-Key: a key has one character at least"),
        (b"latncy", b"5ms", "there is no X-Mock-Latncy; there are: mock_latency (X-Mock-Latency)"),
    ],
)
def test_an_invalid_value_is_answered_with_the_reason(
    name: bytes, value: bytes, message: str
) -> None:
    assert message in refused((b"x-mock-" + name, value))


def test_a_repeated_override_is_refused() -> None:
    once = (b"x-mock-status", b"503")
    assert "X-Mock-Status is given twice" in refused(once, once)
    assert "mock_status is given twice, perhaps as a header" in refused(
        once, query=b"mock_status=2"
    )
    assert "the query cannot be read" in refused(query=b"mock_key=1&" + b"a&" * 200)


def test_overrides_stay_within_their_caps() -> None:
    slow, large = (b"x-mock-latency", b"2s"), (b"x-mock-size", b"2MB")
    assert "latency: 2s is above 1.5s, the longest delay" in refused(slow, longest=1.5)
    assert "size: 2MB is above 1MB, the largest body" in refused(large, largest=1_000_000)
    assert parse([slow, large], b"", longest=2.0, largest=2_000_000)
    tail = (b"x-mock-latency", b"exponential(1s)")  # its median is within; its tail is cut later
    assert parse([tail], b"", longest=1.0)


@given(st.binary(), st.binary())
def test_any_override_is_understood_or_refused(value: bytes, query: bytes) -> None:
    for name in (b"latency", b"status", b"fault", b"size", b"key", b"other"):
        for headers, asked in ([(b"x-mock-" + name, value)], b""), ([], b"mock_" + name + query):
            try:
                overrides = parse(headers, asked)
            except OverrideError as error:
                str(error).encode()
            else:
                assert isinstance(overrides, Overrides)
