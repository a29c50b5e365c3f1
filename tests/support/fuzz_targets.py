"""Everything that reads what others wrote, as targets of `fuzzing`."""

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import strategies as st

from app_under_test.telemetry.middleware import stamp
from app_under_test.telemetry.upstream_timing import stay_among
from loadtests import plans, results
from loadtests.analysis.runs import analyse
from loadtests.dashboard import pages
from loadtests.plans import PlanError, slos
from loadtests.plans import one_line as lines
from loadtests.recording import messages, server_timing
from loadtests.report.outputs import csv_points, junit, markdown, terminal
from loadtests.results import UnreadableRun
from loadtests.samples import gauges
from mock_upstream.latency import parser
from mock_upstream.profiles import profile as profiles
from mock_upstream.profiles.profile import Profile, ProfileError
from mock_upstream.routes import Responders
from mock_upstream.units import sizes
from mock_upstream.units.durations import LONGEST
from mock_upstream.units.grammar import TextError
from tests.support.fuzz_inputs import (
    HEADER,
    LATENCIES,
    PLAN,
    PROFILE,
    SIZES,
    SLOS,
    as_json,
    as_toml,
    decoded,
    holds,
    keys_of,
    refused,
    sentences,
    tables,
)
from tests.support.fuzz_mock import control, requests
from tests.support.fuzzing import Target, check_message

PROJECT = Path(__file__).parents[2]


def plan() -> Target:
    """`plans.read`; a plan that is accepted is written and read again."""
    folder = Path(tempfile.mkdtemp())
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
    folder = Path(tempfile.mkdtemp())

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
        read = refused(TextError, lambda: parser.parse(text))
        if read is None:
            return size is not None
        drawn = [read.quantile(u) for u in (1e-9, 0.01, 0.5, 0.9, 0.999999)]
        holds(drawn == sorted(drawn), "quantiles that fall")
        holds(all(0 <= delay <= LONGEST for delay in drawn), "a delay out of range")
        holds(0 <= read.cdf(drawn[2]) <= 1, "a probability out of range")
        holds(parser.parse(str(read)) == read, "a latency is not read back")
        return True

    words = (
        "uniform normal exponential gamma erlang lognormal pareto file p50= p95= p99.9= max= mean= "
    )
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
    collector._secret = "secret"  # the same inputs for the same seed

    def play(data: bytes) -> bool:
        why = collector._refused(data, data[:8])
        if why is not None:
            check_message(why)
        json.dumps(collector.take(), allow_nan=False)
        return why is None

    sample = {
        "format": "brownout-gauges/1",
        "deployment": "async",
        "secret": "secret",
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
        messages.Hello(token="x" * 32, pid=7, web=True),
        messages.Started(options={"levels": "1, 5"}),
        messages.PageCommand(number=1, what="upstream", values={"latency": "5ms"}),
        messages.CommandResult(number=1),
        messages.PageContent(name="now", content="{}"),
        messages.UpstreamChanged(at=1.5, text="slower", profile={"latency": "5ms"}),
        messages.Finish(),
        messages.Stopped(reason="by hand"),
        messages.GeneratorLost(stage=0, generator="g", reason="gone"),
    ]
    corpus = [*small.values(), *(messages.encode(one) for one in more)]

    def play(data: bytes) -> bool:
        message = refused(ValueError, lambda: messages.decode(data))
        if isinstance(message, messages.Report):
            for part in message.slices:
                refused(ValueError, lambda part=part: part.slice(message.stage))
        if message is not None:
            messages.decode(messages.encode(message))
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
    folder = Path(tempfile.mkdtemp())
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
    csv_points.render(run)
    junit.render(run)
    str(terminal.render(run))
    if run.points:
        pages.sections(run)
        pages.drawn(run)
    results.Run.model_validate_json(results.to_json(run))


def _run_files() -> dict[str, bytes]:
    """The files of a small run of two deployments, as the controller writes them."""
    from tests.loadtests.analysis.test_runs import written

    base = Path(tempfile.mkdtemp())
    folder = written(base / "a", (1, 5, 20), settle=0.5, measure=1.0)
    run = analyse(folder)
    (folder / "run.json").write_text(results.to_json(run), encoding="utf-8")
    (folder / "plan.toml").write_text(tomli_w.dumps(run.plan), encoding="utf-8")
    names = ("slices.jsonl", "samples.jsonl", "plan.toml", "run.json")
    found = {name: (folder / name).read_bytes() for name in names}
    shutil.rmtree(base)
    return found


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

assert sum(share for _, share in TARGETS.values()) == 100
