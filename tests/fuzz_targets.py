"""Everything that reads what others wrote, as targets of `fuzzing`."""

import asyncio
import json
import logging
import math
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import tomli_w
import uvicorn
from fuzzing import ODDITIES, Target, Unfit, check_message
from hypothesis import strategies as st
from uvicorn.server import ServerState

from app_under_test.telemetry.middleware import stamp
from app_under_test.telemetry.stays import stay_among
from loadtests import gauges, plans, results, server_timing, slos, stages
from loadtests.analysis.runs import analyse
from loadtests.exit_codes import Failure
from loadtests.laboratory import pages
from loadtests.plans import PlanError, lines
from loadtests.report import junit, markdown, points, terminal
from loadtests.results import UnreadableRun
from mock_upstream import latency, overrides, profiles, sizes
from mock_upstream.admin import create_app
from mock_upstream.deadlines import Deadlines
from mock_upstream.durations import LONGEST
from mock_upstream.ledger import Ledger
from mock_upstream.mock import Mock
from mock_upstream.profiles import Profile, ProfileError
from mock_upstream.protocol import MockProtocol
from mock_upstream.routes import Responders

PROJECT = Path(__file__).parents[1]

LATENCIES = (
    "50ms",
    "uniform(20ms,80ms)",
    "exponential(50ms)",
    "gamma(mean=50ms,shape=2.5)",
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
    """As TOML; what that has no word for, as JSON."""
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


def plan() -> Target:
    """`plans.read`; a plan that is accepted is written and read again."""
    folder = Path(tempfile.mkdtemp(dir=_memory()))
    file = folder / "plan.toml"

    def play(data: bytes) -> bool:
        file.write_bytes(data)
        read = refused(PlanError, lambda: plans.read(file))
        if read is None:
            return False
        file.write_text(plans.to_toml(read), encoding="utf-8")
        holds(plans.read(file) == read, "the plan that was written is another one")
        return True

    shipped = [path.read_bytes() for path in plans.shipped().values()]
    claimed = [
        path.read_bytes() for path in sorted((PROJECT / "loadtests/claims/plans").glob("*.toml"))
    ]
    keys = keys_of(plans.read(plans.shipped()["default"]).model_dump(mode="json")) | keys_of(
        PROFILE
    )
    keys |= {"matrix", "command", "url", "variant", "env", "cwd", "stop", "profile", "locustfile"}
    return Target(play, [PLAN.encode(), *shipped, *claimed], tables(keys).map(as_toml), [*keys])


def profile() -> Target:
    """`profiles.load`; a profile that is accepted answers requests, and is read back."""
    folder = Path(tempfile.mkdtemp(dir=_memory()))

    def play(data: bytes) -> bool:
        file = folder / ("p.json" if data[:1] == b"{" else "p.toml")
        file.write_bytes(data)
        read = refused(ProfileError, lambda: profiles.load(file, {}))
        if read is None:
            return False
        _answers(read)
        written = Profile.model_validate_json(read.model_dump_json(), context=read.known)
        holds(written == read, "the profile that was written is another one")
        return True

    corpus = [as_json(PROFILE), tomli_w.dumps(PROFILE).encode(), b"", b"{}"]
    corpus += [as_json({"latency": text}) for text in LATENCIES]
    corpus += [as_json({"body": {"size": text}}) for text in SIZES]
    return Target(play, corpus, tables(keys_of(PROFILE)).map(as_json), [*keys_of(PROFILE)])


def _answers(profile: Profile) -> None:
    for moment in (None, 0.0, 31.5, 1e6):
        now = profile.schedule.at(moment).played if profile.schedule else profile
        found = Responders(now).find
        for path in ("/", "/charge/7", "/a.b.c/x", "/" + "-" * 300):
            responder, values = found("POST", path)
            delay, status, _ = responder.draw()
            holds(
                0 <= delay <= LONGEST and 200 <= status <= 599, "a delay or status that cannot be"
            )
            responder.answer(status, values, b"page=1")


def latencies() -> Target:
    """The grammars of latencies and sizes; what is accepted is a distribution."""

    def play(data: bytes) -> bool:
        text = decoded(data)
        size = refused(ValueError, lambda: sizes.parse_size(text))
        if size is not None:
            holds(str(sizes.parse_size(str(size))) == str(size), "a size is not read back")
            holds(0 <= size.quantile(1e-9) <= size.quantile(0.999999) <= 1e9, "a size out of range")
        read = refused(latency.LatencyError, lambda: latency.parse(text))
        if read is None:
            return size is not None
        drawn = [read.quantile(u) for u in (1e-9, 0.01, 0.5, 0.9, 0.999999)]
        holds(drawn == sorted(drawn), "quantiles that fall")
        holds(all(0 <= delay <= LONGEST for delay in drawn), "a delay out of range")
        holds(0 <= read.cdf(drawn[2]) <= 1, "a probability out of range")
        holds(latency.parse(str(read)) == read, "a latency is not read back")
        return True

    words = "uniform exponential gamma erlang lognormal pareto file p50= p95= p99.9= max= mean= "
    words += "shape= alpha= min= ( ) , + * 0.9* 50ms 1s 2m 3us 10kB 1MB"
    corpus = [text.encode() for text in (*LATENCIES, *SIZES)]
    return Target(play, corpus, sentences(words.split()), words.split())


def objectives() -> Target:
    """The grammar of SLOs, and the lines of a form or a command line."""
    base = plans.default()

    def play(data: bytes) -> bool:
        text = decoded(data)
        slo = refused(ValueError, lambda: slos.parse(text))
        if slo is not None:
            holds(math.isfinite(slo.threshold) and slo.threshold >= 0, "a threshold without an end")
            holds(slos.parse(slo.text) == slo, "an SLO is not read back")
        found = refused(PlanError, lambda: lines.slos(text, base.slos))
        upstream = refused(PlanError, lambda: lines.upstream(text, base.upstream))
        # Each takes a plan's checks, so they take turns.
        name = ("levels", "settle", "repeats", "url", "model")[len(data) % 5]
        changed = refused(PlanError, lambda: plans.altered(base, **{name: text}))
        return any(one is not None for one in (slo, found, upstream, changed))

    words = (
        "p50 p95 p99 mean errors throughput knee ( ) < <= > >= * at 250ms 0.1% 500/s 60 40 0.5 ; "
    )
    words += "latency= servers capacity={ } none http://127.0.0.1:8000 name="
    more = (
        "none",
        "a = p95 < 1s at 40; errors < 1%",
        'latency = "200ms", capacity = {servers = 10}',
    )
    more += ("1, 5,40,80", " 2.25s", "3 ", "http://127.0.0.1:8000/a", "open")
    corpus = [text.encode() for text in (*SLOS, *more)]
    return Target(play, corpus, sentences(words.split()), words.split())


def control() -> Target:
    """The control API of the mock: a request as `METHOD TARGET`, headers, an empty line, a body."""
    loop = asyncio.new_event_loop()

    async def started() -> Any:
        ledger = Ledger()
        mock = Mock(Profile(), ledger, Deadlines())

        async def on_loop(function: Callable[[], Any]) -> Any:
            return function()

        return create_app(mock, ledger, on_loop)

    app = loop.run_until_complete(started())

    def play(data: bytes) -> bool:
        head, _, body = data.partition(b"\n\n")
        first, *others = head.split(b"\n")
        method, _, target = first.partition(b" ")
        path, _, query = target.partition(b"?")
        headers = [
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(b":") for line in others)
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method.decode("latin-1").upper(),
            "path": path.decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "root_path": "",
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        status, answer = loop.run_until_complete(_asked(app, scope, body))
        holds(100 <= status < 500, f"it is answered {status}")
        if status >= 400 and scope["method"] != "HEAD":
            check_message(json.loads(answer)["error"])
        return status < 400

    def asking(how: str, body: Any = None, more: str = "") -> bytes:
        return encoded(f"{how}\nhost: 127.0.0.1:80\ncontent-type: application/json{more}\n\n") + (
            b"" if body is None else as_json(body)
        )

    corpus = [
        asking("PUT /profile", PROFILE),
        asking("PUT /profile", {"latency": "1ms"}, "\nif-match: *"),
        asking("PATCH /profile", {"latency": "2ms", "errors": None}),
        asking("PATCH /profile", {"timeline": None, "caps": {"delay": "10s"}}),
        asking("GET /ledger?reset_peak=true&recent_peak=1"),
        *(asking(f"GET /{name}") for name in ("health", "metrics", "profile", "openapi.json")),
        asking("POST /reset"),
        asking("PUT /profile", PROFILE),
        asking("POST /timeline/start"),
        asking("POST /timeline/stop"),
    ]
    made = st.tuples(st.sampled_from(["PUT", "PATCH"]), tables(keys_of(PROFILE)))
    strategy = made.map(lambda pair: asking(f"{pair[0]} /profile", pair[1]))
    words = [*keys_of(PROFILE), "host:", "origin:", "if-match:", "PUT", "PATCH", "POST", "/profile"]
    return Target(play, corpus, strategy, words)


async def _asked(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    sent: list[Any] = []
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return rest.pop() if rest else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def requests() -> Target:
    """The mock's side of a connection: bytes in, answers out; and what a request may ask for."""
    loop = asyncio.new_event_loop()
    wrong: list[str] = []
    loop.set_exception_handler(lambda _, context: wrong.append(_said(context)))

    class Complaints(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                wrong.append(repr(record.exc_info[1]))

    values = {
        "latency": "0ms",
        "capacity": PROFILE["capacity"],
        "limits": [{"kind": "fixed_window", "limit": 10**9, "per": "1s", "key": "header:X-Client"}],
        "routes": [*cast("list[Any]", PROFILE["routes"]), {"path": "/", "json": {"ok": True}}],
        "faults": [{"fault": "truncate", "every": 50}],
        "caps": {"delay": "10s", "body": "100MB"},
    }

    async def started() -> tuple[uvicorn.Config, Ledger]:
        ledger = Ledger()
        mock = Mock(Profile.model_validate(values), ledger, Deadlines())
        config = uvicorn.Config(
            mock,
            http=cast("Any", partial(MockProtocol, ledger)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        config.load()
        return config, ledger

    config, ledger = loop.run_until_complete(started())
    logging.getLogger("uvicorn.error").addHandler(Complaints())
    logging.getLogger("uvicorn.error").propagate = False

    async def sent(data: bytes) -> bytes:
        transport = Wire()
        protocol = MockProtocol(
            ledger, config=config, server_state=ServerState(), app_state={}, _loop=loop
        )
        protocol.connection_made(cast("Any", transport))
        for start in range(0, len(data), 1 << 14):
            if not transport.is_closing():
                protocol.data_received(data[start : start + (1 << 14)])
        for _ in range(6):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        for _ in range(4):
            await asyncio.sleep(0)
        return bytes(transport.first)

    def play(data: bytes) -> bool:
        answer = loop.run_until_complete(sent(data))
        if wrong:
            what = wrong[0]
            wrong.clear()
            raise Unfit(what)
        asked = refused(overrides.OverrideError, lambda: overrides.parse([], data))
        return answer.startswith(b"HTTP/1.1 2") or asked is not None

    def asking(path: str = "/", more: str = "", method: str = "GET", body: str = "") -> bytes:
        return encoded(f"{method} {path} HTTP/1.1\r\nHost: mock\r\n{more}\r\n{body}")

    corpus = [
        asking(),
        asking(more="X-Mock-Latency: 0ms\r\nX-Mock-Key: order-17\r\nX-Client: me\r\n"),
        asking(more="X-Mock-Size: 10kB\r\nX-Mock-Status: 201\r\n"),
        asking("/?mock_status=200&mock_size=uniform(1kB,2kB)&mock_latency=0ms"),
        asking("/charge/7?page=2", "Content-Length: 2\r\n", "POST", "{}"),
        asking("/charge/7", "Transfer-Encoding: chunked\r\n", "POST", "2\r\n{}\r\n0\r\n\r\n"),
        asking() + asking(),
    ]
    words = "X-Mock-Latency: X-Mock-Status: X-Mock-Fault: X-Mock-Size: X-Mock-Key: mock_size= "
    words += "mock_fault= mock_latency= reset-mid-body drip hang close Content-Length: chunked "
    words += "Transfer-Encoding: Connection: Expect:100-continue HTTP/1.1 GET POST \r\n \r\n\r\n"
    named = words.split(" ")
    strategy = st.lists(st.sampled_from([*named, *LATENCIES, *SIZES, *ODDITIES]), max_size=8).map(
        lambda parts: asking(more="".join(f"{part}\r\n" for part in parts))
    )
    return Target(play, corpus, strategy | st.binary(max_size=200), named)


class Wire(asyncio.Transport):
    """A client that reads everything; the first bytes are kept."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)})
        self.first = bytearray()
        self._closing = False

    def write(self, data: Any) -> None:
        self.first += bytes(data[: max(200 - len(self.first), 0)])

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _said(context: dict[str, Any]) -> str:
    return repr(context.get("exception") or context["message"])


def timings() -> Target:
    """Server-Timing, as the load generator and the service read it; and the stamp of a request."""

    def play(data: bytes) -> bool:
        header = data.decode("latin-1")
        read = server_timing.phases(header, 0.06)
        server_timing.phases(header.split("\n"), 0.06)
        if read is not None:
            holds(all(0 <= part < 1 for part in read), "a phase that cannot be")
        stay = stay_among([(b"server-timing", data)])
        holds(stay is None or 0 <= stay <= LONGEST, "a stay that cannot be")
        sent = stamp([(b"x-sent-mono", data)])
        holds(sent is None or math.isfinite(sent), "a stamp that cannot be")
        return read is not None or stay is not None or sent is not None

    corpus = [
        HEADER.encode(),
        f'cache;desc="hit, dur=9; \\"x\\"", db;dur=53.2;desc=main, miss, {HEADER}'.encode(),
        b"asked;dur=52.3, queue;dur=1.0, service;dur=50.0, late;dur=0.1",
        b"12345678901234",
    ]
    words = "total own upstream pre_app ; dur = , dur=1.000 desc= asked;dur= queue;dur="
    return Target(play, corpus, sentences(words.split()), words.split())


def telemetry() -> Target:
    """The datagrams of instrumented services."""
    collector = gauges.Collector(["async", "threads"])

    def play(data: bytes) -> bool:
        why = collector._refused(data, data[:8])
        if why is not None:
            check_message(why)
        json.dumps(collector.take(), allow_nan=False)
        return why is None

    sample = {
        "format": "brownout-gauges/1",
        "deployment": "async",
        "pid": 7,
        "sequence": 1,
        "at": 12.5,
        "threads": {"total": 40, "busy": 3, "waiting": 0},
        "loop": {"lag": 0.001, "worst": 0.01, "cpu": 0.5},
        "pools": [{"client": "httpx", "limit": 100, "open": 3, "used": 2, "waiting": 0}],
        "in_flight": 3,
        "gc": {"collections": 4, "seconds": 0.01},
        "cpu": 1.25,
        "counts": {"calls": 12.0},
    }
    words = [*keys_of(sample)]
    some = tables(words).map(lambda table: as_json(sample | table))
    return Target(play, [as_json(sample)], some, words)


def engine() -> Target:
    """The lines between controller and load generator."""
    lines = [
        line for line in _run_files()["slices.jsonl"].splitlines()[1:] if b"problem" not in line
    ]
    small = {}
    for line in lines[:-1]:
        small.setdefault(json.loads(line)["type"], line)
    more = [
        stages.Hello(token="x" * 32, pid=7, web=True),
        stages.Started(options={"levels": "1, 5"}),
        stages.Ask(number=1, what="upstream", values={"latency": "5ms"}),
        stages.Answer(number=1),
        stages.Show(name="now", content="{}"),
        stages.Change(at=1.5, text="slower", profile={"latency": "5ms"}),
        stages.Finish(),
        stages.Stopped(reason="by hand"),
        stages.Lost(stage=0, generator="g", reason="gone"),
    ]
    corpus = [*small.values(), *(stages.encode(one) for one in more)]

    def play(data: bytes) -> bool:
        message = refused(ValueError, lambda: stages.decode(data))
        if isinstance(message, stages.Report):
            for part in message.slices:
                refused(ValueError, lambda part=part: part.slice(message.stage))
        if message is not None:
            stages.decode(stages.encode(message))
        return message is not None

    keys = {key for line in corpus for key in keys_of(json.loads(line))}
    made = st.tuples(st.sampled_from(corpus), tables(keys))
    some = made.map(lambda pair: as_json(json.loads(pair[0]) | pair[1]))
    return Target(play, corpus, some, [*keys])


def runs() -> Target:
    """
    A run's folder, analysed and reported: the name of a file, a line break, and what is in it.

    The other files are those of a valid run.
    """
    files = _run_files()
    folder = Path(tempfile.mkdtemp(dir=_memory()))
    for name, content in files.items():
        (folder / name).write_bytes(content)

    def play(data: bytes) -> bool:
        name, _, content = data.partition(b"\n")
        file = folder / name.decode("latin-1")
        if name.decode("latin-1") not in files:
            file, content = folder / "slices.jsonl", data
        file.write_bytes(content)
        try:
            if file.name == "run.json":
                run = refused(UnreadableRun, lambda: results.read(folder))
            else:
                run = refused(UnreadableRun, lambda: analyse(folder))
            if run is not None:
                _reported(run)
        finally:
            file.write_bytes(files[file.name])
        return run is not None

    whole = [name.encode() + b"\n" + content for name, content in files.items()]
    keys = {key for line in files["slices.jsonl"].splitlines() for key in keys_of(json.loads(line))}
    keys |= keys_of(json.loads(files["run.json"]))
    slices = files["slices.jsonl"].splitlines(keepends=True)
    made = st.tuples(st.integers(0, len(slices) - 1), tables(keys))

    def spoilt(pair: tuple[int, dict[str, Any]]) -> bytes:
        number, table = pair
        line = as_json(json.loads(slices[number]) | table) + b"\n"
        return b"".join([b"slices.jsonl\n", *slices[:number], line, *slices[number + 1 :]])

    return Target(play, [*whole[:1], *whole], made.map(spoilt), [*keys])


def _reported(run: results.Run) -> None:
    markdown.render(run)
    points.render(run)
    junit.render(run)
    str(terminal.render(run))
    if run.points:
        pages.sections(run)
        pages.drawn(run)
    results.Run.model_validate_json(results.to_json(run))


def _run_files() -> dict[str, bytes]:
    """The files of a small run of two deployments, as the controller writes them."""
    from test_analysis_runs import written

    base = Path(tempfile.mkdtemp(dir=_memory()))
    random.seed(1)
    folder = written(base / "a", (1, 5, 20), settle=0.5, measure=1.0)
    run = analyse(folder)
    (folder / "run.json").write_text(results.to_json(run))
    (folder / "plan.toml").write_text(tomli_w.dumps(run.plan))
    names = ("slices.jsonl", "samples.jsonl", "plan.toml", "run.json")
    found = {name: (folder / name).read_bytes() for name in names}
    shutil.rmtree(base)
    return found


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TARGETS: dict[str, tuple[Callable[[], Target], int]] = {
    "plan reader": (plan, 6),
    "profile reader": (profile, 10),
    "latency grammar": (latencies, 20),
    "SLO grammar": (objectives, 14),
    "control API": (control, 6),
    "mock's requests": (requests, 12),
    "Server-Timing": (timings, 14),
    "gauges": (telemetry, 8),
    "engine line": (engine, 8),
    "run folders": (runs, 2),
}
"""How each is made, and its share of the inputs in hundredths, the less the longer one takes."""

assert issubclass(PlanError, Failure)
assert sum(share for _, share in TARGETS.values()) == 100
