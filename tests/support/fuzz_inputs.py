"""Valid inputs for the fuzzer's targets, what hypothesis makes of them, and what is asked."""

import json
from collections.abc import Callable
from typing import Any

import tomli_w
from hypothesis import strategies as st

from tests.support.fuzzing import Unfit, check_message
from tests.support.mutator import ODDITIES

LATENCIES = (
    "50ms",
    "uniform(20ms,80ms)",
    "exponential(50ms)",
    "gamma(mean=50ms,shape=2.5)",
    "normal(mean=50ms,sd=10ms)",
    "erlang(mean=50ms,shape=3)",
    "lognormal(p50=50ms,p99=200ms)",
    "lognormal(mean=60ms,p50=50ms)",
    "pareto(min=20ms,alpha=1.5,max=10s)",
    "p50=50ms p95=120ms p99=300ms max=1s",
    "0.9*lognormal(p50=20ms,p99=80ms) + 0.1*uniform(1s,2s)",
    "0.9*(p50=20ms p95=80ms) + 0.1*2s",
)
SIZES = ("10kB", "uniform(1kB,100kB)", "lognormal(p50=10kB,p99=1MB)")
SLOS = (
    "p95 < 250ms at 40",
    "p95(async-httpx) < 250ms at 40",
    "errors < 0.1%",
    "throughput > 500/s at 80",
    "knee > 60",
    "p95(async-httpx2) < 0.5 * p95(blocking-requests) at 80",
    "knee(async-httpx2) > knee(blocking-requests)",
)
PROFILE = {
    "seed": 7,
    "latency": LATENCIES[8],
    "sampling": "stratified",
    "network": "1ms",
    "errors": {"503": 0.01},
    "spells": {"good": "30s", "bad": "2s", "latency": "1s"},
    "capacity": {"servers": 20, "queue": 100, "overflow": 503},
    "limits": [{"kind": "token_bucket", "limit": 500, "per": "1s", "key": "header:X-Client"}],
    "faults": [{"fault": "reset-mid-body", "probability": 0.001}],
    "body": {"size": "10kB", "chunks": 4, "interval": "1ms"},
    "routes": [
        {"path": "/charge/{id}", "method": "POST", "json": {"id": "{id}", "page": "{query.page}"}},
        {"path": "/{name}.{type}/x", "status": 404, "headers": {"X-Kind": "a"}, "latency": "5ms"},
    ],
    "timeline": {
        "repeat": True,
        "phases": [
            {"name": "calm", "for": "30s"},
            {"name": "slow", "for": "60s", "changes": {"latency_factor": {"ramp": [1, 10]}}},
            {
                "name": "tides",
                "for": "2m",
                "changes": {
                    "capacity.servers": {"square": [20, 5], "period": "10s"},
                    "latency": {"sine": ["10ms", "20ms"], "period": "7s"},
                    "routes.0.latency": "1ms",
                },
            },
            {"name": "down", "for": "5s", "outage": 503},
            {"name": "brown", "for": "5s", "brownout": {"factor": 4, "refused": 0.5}},
        ],
    },
    "caps": {"delay": "60s", "body": "1MB"},
}
PLAN = """
name = "checkout"
seed = 7
allow_hosts = ["staging.example.org"]
[upstream]
latency = "p50=50ms p95=80ms p99=150ms"
[[upstream.routes]]
path = "/charge/{id}"
method = "POST"
json = { id = "{id}", state = "paid" }
[deployments.threads]
variant = "blocking-requests"
settings = { threads = 40, pool = 40, workers = 1 }
matrix = { threads = [20, 40, 100] }
[deployments.mine]
command = "uvicorn shop.main:app --port {port}"
env = { PAYMENTS_URL = "{upstream}" }
ready = "/health"
[deployments.canary]
url = "http://127.0.0.1:9000"
[[requests]]
path = "/external-data"
weight = 2.5
headers = { Accept = "*/*" }
json = { a = [1, "b", 0.5] }
timeout = "5s"
expect = { status = [200, 201], contains = "ok" }
[load]
model = "closed"
levels = [1, 5, 10, 40]
settle = "2s"
measure = "5s"
think_time = "100ms"
repeats = 2
[slos]
checkout-p95 = "p95 < 250ms at 40"
relative = "p95(mine) < 0.5 * p95(canary) at 10"
"""
HEADER = (
    "total;dur=52.310, pre_app;dur=0.412, thread_wait;dur=0.000, pool_wait;dur=0.031, "
    "connect;dur=0.000, upstream;dur=50.112, loop_wait;dur=0.901, own;dur=1.266"
)

# What hypothesis makes: bytes, texts, words in a row, and values of JSON with our keys in them.
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*ODDITIES, *LATENCIES, *SLOS])
)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decoded(data: bytes) -> str:
    """Any text, halves of surrogate pairs included, as a command line or JSON may hold them."""
    return data.decode("utf-8", "surrogateescape")


def sentences(words: Any) -> st.SearchStrategy[bytes]:
    """Words in a row, in any order."""
    some = st.lists(st.sampled_from([*words, *ODDITIES]), max_size=15)
    return some.map(lambda parts: encoded("".join(parts))) | st.binary(max_size=100)


def tables(keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with our keys, and any value anywhere."""
    names = st.sampled_from([*keys]) | st.text(max_size=8)
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
        max_leaves=12,
    )
    return st.dictionaries(names, values, max_size=8)


def keys_of(value: Any) -> set[str]:
    """Every key in a value of JSON."""
    if isinstance(value, dict):
        return {*value} | {key for inner in value.values() for key in keys_of(inner)}
    return {key for inner in value for key in keys_of(inner)} if isinstance(value, list) else set()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_toml(value: Any) -> bytes:
    """The value as TOML, or as JSON if TOML cannot express it."""
    try:
        return tomli_w.dumps(value).encode()
    except (ValueError, TypeError):
        return as_json(value)


def refused(allowed: Any, read: Callable[[], Any]) -> Any:
    """What is read; None if it was refused in a way that helps the user."""
    try:
        return read()
    except allowed as error:
        check_message(error)
        return None


def holds(fact: bool, what: str) -> None:
    if not fact:
        raise Unfit(what)
