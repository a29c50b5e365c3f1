"""What a locustfile did besides its requests: requests of on_start, own timings, exceptions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal

from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.numbers import percent
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import Apart
from loadtests.recording.slices import OTHER_NAMES
from loadtests.results import QUANTILES, EventsApart

MOST = 5  # exceptions that are named
NAMES = 20  # of requests, that can be meant though each is sent once
Kind = Literal["on_start", "timing", "background"]
_Key = tuple[str, int, Kind, str, str]


def events_apart(records: Iterable[StageRecord]) -> list[EventsApart]:
    """A row for each kind of event that is no request, by deployment and level."""
    rows: dict[_Key, list[Apart]] = defaultdict(list)
    seconds: Counter[tuple[str, int]] = Counter()
    for record in records:
        stage = record.stage
        seconds[stage.deployment, stage.level] += stage.measure  # type: ignore[assignment]
        for done in record.dones.values():
            for one in done.apart:
                key = (stage.deployment, stage.level, one.kind, one.request_type, one.name)
                rows[key].append(one)
    return [_row(key, parts, seconds[key[:2]]) for key, parts in rows.items()]


def problems(record: Record, found: Sequence[EventsApart]) -> list[str]:
    """Sentences for the run: what counts as no request, what failed in on_start or was raised."""
    return [
        *_names(record.stages),
        *_timings(record, found),
        *_on_start(record, found),
        *_background(found),
        *_exceptions(record.stages),
        *_unusable(record.stages),
    ]


def _row(key: _Key, parts: Sequence[Apart], seconds: float) -> EventsApart:
    deployment, level, kind, request_type, name = key
    times = Histogram()
    for one in parts:
        with suppress(ValueError):
            times.add(Histogram.decode(one.times))
    values = {}
    if times.count:
        values = {quantile: 1000 * times.quantile(q) for quantile, q in QUANTILES.items()}
        values["mean"] = 1000 * times.mean()
    count = sum(one.count for one in parts)
    return EventsApart(
        deployment=deployment,
        level=level,
        kind=kind,
        request_type=request_type,
        name=name,
        count=count,
        failed=sum(one.failed for one in parts),
        per_second=count / seconds if kind != "on_start" and seconds else None,
        values=values,
    )


def _timings(record: Record, found: Sequence[EventsApart]) -> list[str]:
    timings = [one for one in found if one.kind == "timing"]
    if not timings:
        return []
    types = sorted({one.request_type or "(none)" for one in timings})
    count = sum(one.count for one in timings)
    text = (
        f"{count:,} events of the locustfile are no requests, by their request type "
        f"({', '.join(types)}): they are shown apart, and count in no throughput, response time "
        "or SLO."
    )
    if any(part.started for stage in record.stages for part in stage.slices):
        return [text]
    quoted = ", ".join(f'"{one}"' for one in types)
    return [f"{text} No other request was sent; if these are, write [locust] requests = [{quoted}]"]


def _names(records: Iterable[StageRecord]) -> list[str]:
    """A sentence where a part of the path, such as an id, makes each request a row of its own."""
    sent: Counter[str] = Counter()
    for record in records:
        if record.stage.own_tasks:
            for part in record.slices:
                sent[part.request] += part.started
    once = [name for name, count in sent.items() if count == 1]
    if OTHER_NAMES not in sent and (len(sent) <= NAMES or 2 * len(once) < len(sent)):
        return []
    example = next(iter(once), next(iter(sent)))
    number, rest = f"{len(sent):,} names", ""
    if OTHER_NAMES in sent:
        number = f"more than {len(sent) - 1:,} names"
        rest = f', and those beyond them are in one, "{OTHER_NAMES}"'
    return [
        f"The requests of the locustfile have {number}, such as {example}: each has a "
        f"row of its own{rest}. Give those of one kind a name: "
        'self.client.get(f"/items/{id}", name="/items/[id]").'
    ]


def _on_start(record: Record, found: Sequence[EventsApart]) -> list[str]:
    rows = [one for one in found if one.kind == "on_start"]
    if not rows:
        return []
    users = sum(record.stage.level for record in record.stages)
    count, failed = sum(one.count for one in rows), sum(one.failed for one in rows)
    texts = [
        f"Each stage starts its users again: on_start ran for {users:,} users in all. Its "
        f"{count:,} requests are shown apart, and count in no throughput, response time or SLO."
    ]
    if failed:
        texts.append(f"{percent(failed / count)} of the requests of on_start failed.")
    return texts


def _background(found: Sequence[EventsApart]) -> list[str]:
    rows = [one for one in found if one.kind == "background"]
    if not rows:
        return []
    count = sum(one.count for one in rows)
    requests = "1 request was" if count == 1 else f"{count:,} requests were"
    named = ", ".join(f'"{name}"' for name in sorted({one.name for one in rows})[:MOST])
    return [
        f"{requests} sent by no user of the locustfile, as by a greenlet of a handler, whose load "
        "does not grow with the level: shown apart, in no throughput, response time or SLO. If "
        f"users cause them, write [locust] requests = [{named}]"
    ]


def _exceptions(records: Iterable[StageRecord]) -> list[str]:
    counts: Counter[str] = Counter()
    for record in records:
        for done in record.dones.values():
            counts.update(done.errors)
    texts = [
        f"The locustfile raised an exception {'once' if count == 1 else f'{count:,} times'}: {text}"
        for text, count in counts.most_common(MOST)
    ]
    if len(counts) > MOST:
        texts.append(f"The locustfile raised {len(counts) - MOST} other kinds of exceptions.")
    return texts


def _unusable(records: Iterable[StageRecord]) -> list[str]:
    counts: Counter[str] = Counter()
    for record in records:
        for done in record.dones.values():
            counts.update(done.unusable)
    if not counts:
        return []
    named = ", ".join(event for event, _ in counts.most_common(MOST))
    events = "1 event" if counts.total() == 1 else f"{counts.total():,} events"
    return [
        f"{events} of the locustfile are in no number, since their response_time is not a number "
        f"of milliseconds: {named}"
    ]
