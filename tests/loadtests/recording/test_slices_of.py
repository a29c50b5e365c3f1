"""Requests that are recorded in bulk make the slices that they make one by one."""

import math

from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording.slices import LENGTH, Slice
from tests.support.slices_of import slices_of

NAMES = ("/a", "/b")
requests = st.lists(
    st.tuples(
        st.floats(0, 3),  # start
        st.floats(0, 5) | st.floats(0, 1e-5) | st.floats(590, 700),  # how long it takes
        st.booleans(),
        st.sampled_from(range(len(NAMES))),
        st.none() | st.floats(0, 1),
    ),
    max_size=40,
)


def one_by_one(made, model):
    """Record one request after the other, as the engine's recorder does."""
    slices = {}

    def part(moment, name):
        key = int(moment / LENGTH), NAMES[name]
        return slices.setdefault(key, Slice(stage=7, index=key[0], request=key[1]))

    for start, end, failed, name, idle in made:
        begin, finish = part(start, name), part(end, name)
        begin.started += 1
        begin.start_lead += (begin.index + 1) * LENGTH - start
        if idle is not None:
            begin.followed += 1
            begin.idle += idle
        if failed:
            begin.failed.record(end - start)
            begin.kinds["500"] = begin.kinds.get("500", 0) + 1
        else:
            begin.ok.record(end - start)
            begin.statuses["200"] = begin.statuses.get("200", 0) + 1
            begin.bytes += 100
            if model == "open":
                begin.response.record(end - start)
        finish.ended += 1
        finish.end_lead += (finish.index + 1) * LENGTH - end
        finish.succeeded += not failed
    return slices


@given(requests, st.sampled_from(["closed", "open"]))
def test_slices_made_in_bulk_are_those_of_requests_recorded_one_by_one(drawn, model):
    made = [(start, start + takes, *rest) for start, takes, *rest in drawn]
    starts, ends, failed, chosen, idle = zip(*made, strict=True) if made else ((),) * 5
    found = slices_of(
        7,
        starts,
        ends,
        failed,
        names=NAMES,
        chosen=chosen,
        idle=[math.nan if one is None else one for one in idle],
        model=model,
        kind="500",
        body=100,
    )
    assert found == one_by_one(made, model)
    totals = [(one.ok.total(), one.failed.total()) for one in found.values()]
    assert totals == [
        (sum(v * n for v, n in one.ok.recorded()), sum(v * n for v, n in one.failed.recorded()))
        for one in found.values()
    ]
