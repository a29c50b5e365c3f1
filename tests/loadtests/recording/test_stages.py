"""Messages survive the way through a line of text, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording import messages as stages
from loadtests.recording.histograms import Histogram
from loadtests.recording.messages import (
    Clock,
    Finish,
    GeneratorDone,
    GeneratorLost,
    Hello,
    Report,
    RequestSpec,
    SliceMessage,
    Stage,
    StageStarted,
    Started,
    Stopped,
)
from loadtests.recording.phases import NAMES
from loadtests.recording.slices import Slice

numbers = st.integers(0, 10**6)
seconds = st.floats(0, 600)
texts = st.text(max_size=20)
durations = st.lists(st.floats(1e-6, 60.0), max_size=20)


@st.composite
def slices(draw):
    part = Slice(
        stage=draw(numbers),
        index=draw(numbers),
        request=draw(texts),
        started=draw(numbers),
        start_lead=round(draw(seconds), 7),
        ended=draw(numbers),
        end_lead=round(draw(seconds), 7),
        succeeded=draw(numbers),
        kinds=draw(st.dictionaries(texts, numbers, max_size=3)),
    )
    for histogram in (part.ok, part.failed):
        for duration in draw(durations):
            histogram.record(duration)
    for duration in draw(durations):
        part.phases.record(duration, [duration / len(NAMES)] * len(NAMES))
    return part


specs = st.builds(
    RequestSpec,
    name=texts,
    method=st.sampled_from(["GET", "POST"]),
    path=texts,
    weight=seconds,
    headers=st.dictionaries(texts, texts, max_size=2),
    body=st.none() | texts,
    timeout=seconds,
    statuses=st.lists(st.integers(100, 599), max_size=3).map(tuple),
    contains=st.none() | texts,
)
messages = st.one_of(
    st.builds(Hello, token=texts, pid=numbers),
    st.builds(Started, options=st.dictionaries(texts, texts, max_size=3)),
    st.builds(
        Stage,
        number=numbers,
        deployment=texts,
        target=texts,
        level=st.integers(1, 10**6),
        think_time=seconds,
        settle=seconds,
        measure=seconds,
        requests=st.lists(specs, max_size=2).map(tuple),
        seed=numbers,
        own_tasks=st.booleans(),
        telemetry=st.booleans(),
    ),
    st.builds(
        StageStarted,
        stage=numbers,
        at=seconds,
        generators=st.dictionaries(
            texts, st.builds(Clock, offset=seconds, uncertainty=seconds), max_size=2
        ),
    ),
    st.builds(
        Report,
        stage=numbers,
        generator=texts,
        sequence=numbers,
        slices=st.lists(slices().map(SliceMessage.of), max_size=2).map(tuple),
    ),
    st.builds(
        GeneratorDone,
        stage=numbers,
        generator=texts,
        reports=numbers,
        unfinished=numbers,
        cpu=seconds,
        lag=seconds,
    ),
    st.builds(GeneratorLost, stage=numbers, generator=texts, reason=texts),
    st.builds(Finish),
    st.builds(Stopped, reason=texts),
)


@given(messages)
def test_a_message_is_one_line_and_comes_back_equal(message):
    line = stages.encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert stages.decode(line) == message


@given(slices())
def test_a_slice_comes_back_equal(part):
    assert SliceMessage.of(part).slice(part.stage) == part


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"\xff", b'{"type": "hello"}', b'{"type": "finish", "more": 1}'],
)
def test_a_line_without_a_message_is_a_value_error(line):
    with pytest.raises(ValueError, match="not a message"):
        stages.decode(line)


def test_a_broken_histogram_is_a_value_error():
    message = SliceMessage.of(Slice(stage=1, index=0, request="a", ok=_one()))
    with pytest.raises(ValueError, match="not an encoded histogram"):
        message.model_copy(update={"ok": message.ok[:-9]}).slice(1)


def _one() -> Histogram:
    histogram = Histogram()
    histogram.record(0.05)
    return histogram


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "-Infinity"])
def test_a_number_without_an_end_is_in_no_message(number):
    line = stages.encode(StageStarted(stage=1, at=2.5, generators={})).replace(
        b"2.5", number.encode()
    )
    with pytest.raises(ValueError, match="not a message"):
        stages.decode(line)
