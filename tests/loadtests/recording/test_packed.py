"""What a file holds compressed cannot fill the memory."""

import base64
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.recording.histograms import Histogram
from loadtests.recording.packed import unpacked
from loadtests.recording.phases import PhaseSums


@given(st.binary(max_size=300))
def test_compressed_text_is_read_back_up_to_the_bound(data):
    packed = zlib.compress(data)
    assert unpacked(packed, max(len(data), 1)) == data
    if len(data) > 1:
        with pytest.raises(ValueError, match=f"longer than {len(data) - 1} bytes"):
            unpacked(packed, len(data) - 1)
    with pytest.raises(ValueError, match="missing"):
        unpacked(packed[:-1], 1000)


@given(st.binary(max_size=100))
def test_uncompressed_text_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"\w"):
        unpacked(b"?" + data, 1000)


@pytest.mark.parametrize(
    ("decode", "has_header"),
    [(Histogram.decode, True), (PhaseSums.decode, False)],
    ids=["histogram", "phases"],
)
def test_a_text_that_would_become_megabytes_is_refused_before_it_does(decode, has_header):
    bomb = zlib.compress(bytes(1 << 26))  # 64 MiB in 65 kB
    header = struct.pack(">ii", 0x1C849314, len(bomb)) if has_header else b""
    text = base64.b64encode(header + bomb).decode()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="longer than"):
            decode(text)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()
