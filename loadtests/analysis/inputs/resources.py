"""What processes, host and mock did while a level was measured: means over its windows."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from loadtests.analysis.inputs import cpu
from loadtests.analysis.inputs.ledgers import LedgerReading
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.sample_parts import Sample, json_table


def resources(records: Sequence[StageRecord], samples: Sequence[Sample]) -> dict[str, float]:
    """
    Cores used by app, generator and mock (1.0 = one core), bytes of the app, requests in the mock.

    CPU was read at the barriers; where it was not, and for the rest, samples tell. The generator's
    share of a core comes from itself, the busiest one where there are several. What was neither
    read nor sampled is absent.
    """
    seen: dict[str, list[float]] = defaultdict(list)
    for record in records:
        for before, sample in under_load(record, samples):
            for name, value in _values(before, sample, record.stage.deployment):
                seen[name].append(value)
    found = {name: sum(values) / len(values) for name, values in seen.items()}
    for name, process in _processes(records):
        if (used := cpu.cores(process, records)) is not None:
            found[f"{name}_cpu"] = used
    shares = [done.cpu for record in records for done in record.dones.values()]
    return found | ({"generator_cpu": max(shares)} if shares else {})


def _processes(records: Sequence[StageRecord]) -> Iterator[tuple[str, str]]:
    if records:
        yield "app", records[0].stage.deployment
        yield "mock", "mock"


def under_load(record: StageRecord, samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """
    The samples inside a stage's window whose time ended before the window did.

    One that ends later covers the time after the load as well. All that are inside where none
    ended before, as in a short window.
    """
    pairs = list(inside(record, samples))
    end = record.window[1] if record.window else 0.0
    return [pair for pair in pairs if pair[1]["at"] <= end] or pairs


def inside(record: StageRecord, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Sample]]:
    """The samples of a stage's window, each with the one before it."""
    if record.window is None:
        return
    start, end = record.window
    for before, sample in pairwise(samples):
        if start <= (before["at"] + sample["at"]) / 2 < end:
            yield before, sample


def _values(before: Sample, sample: Sample, deployment: str) -> Iterator[tuple[str, float]]:
    for name, process in (("app", deployment), ("mock", "mock")):
        if (used := _number(sample, process, "cpu")) is not None:
            yield f"{name}_cpu", used
    if (rss := _number(sample, deployment, "rss")) is not None:
        yield "app_rss", rss
    then, now = LedgerReading.of(before), LedgerReading.of(sample)
    if then and now and now.continues(then) and now.elapsed > then.elapsed:
        # The ledger sums the seconds in flight: their growth is the exact mean, where a look
        # once a second is one draw.
        grown = now.in_flight.seconds - then.in_flight.seconds
        yield "upstream_in_flight", grown / (now.elapsed - then.elapsed)


def _number(sample: Sample, process: str, name: str) -> float | None:
    """Files of other versions may hold anything."""
    found = json_table(sample, "processes", process).get(name)
    return found if isinstance(found, int | float) else None
