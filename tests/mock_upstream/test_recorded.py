"""Recorded delays: read from files, drawn from again, fitted by quantiles."""

import json
import os
from math import exp
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from mock_upstream.latency import recorded
from mock_upstream.latency.distributions import Constant, Latency
from mock_upstream.latency.draws import Stream
from mock_upstream.latency.mixtures import Mixture
from mock_upstream.latency.parser import parse
from mock_upstream.latency.recorded import RecordedError, fit, load, read
from mock_upstream.profiles.profile import Profile
from mock_upstream.units.durations import LONGEST
from mock_upstream.units.grammar import TextError

some_seconds = st.lists(st.floats(0, LONGEST), min_size=2, max_size=50)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("bare.csv", "12.5\n20\n1e1\n", {"unit": "ms"}),
        ("header.csv", "latency\n12.5\n20\n10\n", {"unit": "ms"}),
        ("units.csv", "took\n12.5ms\n0.02s\n10000 us\n", {}),
        ("mixed.csv", "0.0125s\n20\n10ms\n", {"unit": "ms"}),
        ("bom.csv", b"\xef\xbb\xbftook\r\n12.5\r\n\r\n20\r\n10\r\n", {"unit": "ms"}),
        ("named.csv", "path,took\n/a,12.5\n/b,20\n/c,10\n", {"field": "took", "unit": "ms"}),
        ("placed.csv", "/a,12.5\n/b,20\n/c,10\n", {"field": "2", "unit": "ms"}),
        ("both.csv", "path,took\n/a,12.5\n/b,20\n/c,10\n", {"field": "2", "unit": "ms"}),
        ("quoted.csv", 'a,b\n"x,\ny",12.5\nz,"20"\nz,10\n', {"field": "b", "unit": "ms"}),
        ("UPPER.CSV", "12.5\n20\n10", {"unit": "ms"}),
        ("numbers.jsonl", "12.5\n20\n\n1e1\n", {"unit": "ms"}),
        ("texts.jsonl", '"12.5ms"\n"0.02s"\n"10"\n', {"unit": "ms"}),
        (
            "objects.jsonl",
            '{"d": 12.5}\n{"d": 20, "x": 1}\n{"d": 10}\n',
            {"field": "d", "unit": "ms"},
        ),
    ],
)
def test_the_same_delays_are_read_however_they_are_written(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, str]
) -> None:
    path = written(tmp_path, name, content)
    assert list(read(path, **options)) == pytest.approx([0.0125, 0.02, 0.01], rel=1e-15)


@pytest.mark.parametrize(
    ("unit", "seconds"), [("us", 3e-6), ("ms", 0.003), ("s", 3.0), ("m", 180.0)]
)
def test_every_unit_of_a_duration_is_one_of_a_file(
    tmp_path: Path, unit: str, seconds: float
) -> None:
    assert list(read(written(tmp_path, "x.csv", "3\n3\n"), unit=unit)) == [seconds] * 2


@pytest.mark.parametrize(
    ("name", "content", "options", "reason"),
    [
        ("x.csv", "1\n2\n", {}, "x.csv, line 1: '1' has no unit; say unit=ms"),
        ("x.csv", "took\n1\n\nlong\n", {"unit": "ms"}, "x.csv, line 4: 'long' is not a duration"),
        ("x.csv", "1\n-2\n", {"unit": "ms"}, "line 2: '-2' is negative"),
        ("x.csv", "1\n-2ms\n", {"unit": "ms"}, "line 2: '-2ms' is negative"),
        ("x.csv", "nan\n2\n", {"unit": "ms"}, "line 1: 'nan' is not a delay"),
        ("x.csv", "1\ninf\n", {"unit": "ms"}, "line 2: 'inf' is not a delay"),
        ("x.csv", "1\n1e999\n", {"unit": "ms"}, "line 2: '1e999' is not a delay"),
        ("x.csv", "1\n1e9\n", {"unit": "ms"}, "line 2: '1e9' ms is longer than an hour"),
        ("x.csv", "1\n1_0\n", {"unit": "ms"}, "line 2: '1_0' is not a duration"),
        ("x.csv", "1\n''\n", {"unit": "ms"}, "line 2: "),
        ("x.csv", "a,b\n1,2\n", {"unit": "ms"}, r"line 1: several columns \(a, b\)"),
        ("x.csv", "a,b\n1,2\n", {"field": "c"}, "line 1: no column 'c' in a, b"),
        ("x.csv", "1,2\n1,2\n", {"field": "3"}, "line 1: no column '3'"),
        ("x.csv", "a,b\n1,2\n1\n", {"field": "b", "unit": "ms"}, "line 3: no column 2"),
        ("x.csv", '1\n"2\n', {"unit": "ms"}, "line 2: not CSV"),
        ("x.csv", b"1\n\xff\n", {"unit": "ms"}, "line 2: not UTF-8"),
        ("x.csv", "", {}, "0 values; a spread needs two"),
        ("x.csv", "took\n1ms\n", {}, "1 values; a spread needs two"),
        ("x.jsonl", "1\n{\n", {"unit": "ms"}, "line 2: not JSON"),
        ("x.jsonl", "1\nNaN\n", {"unit": "ms"}, "line 2: nan is not a delay"),
        ("x.jsonl", "1\ntrue\n", {"unit": "ms"}, "line 2: true is not a number"),
        ("x.jsonl", "1\nnull\n", {"unit": "ms"}, "line 2: null is not a number"),
        ("x.jsonl", "[1]\n", {"unit": "ms"}, r"line 1: \[1\] is not a number"),
        ("x.jsonl", "1\n1" + "0" * 400, {"unit": "ms"}, "line 2: longer than an hour"),
        ("x.jsonl", "1\n1" + "0" * 5000, {"unit": "ms"}, "line 2: not JSON"),
        ("x.jsonl", "[" * 100_000, {"unit": "ms"}, "line 1: not JSON"),
        ("x.jsonl", '{"a": 1}\n', {"unit": "ms"}, r"line 1: an object \(a\); say which field"),
        ("x.jsonl", '{"a": 1}\n', {"field": "b"}, "line 1: no field 'b'"),
        ("x.jsonl", "1\n", {"field": "b"}, "line 1: not an object"),
        ("x.txt", "1ms\n2ms\n", {}, "x.txt: the name must end in .csv or .jsonl"),
    ],
)
def test_a_file_that_holds_no_delays_is_refused_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(RecordedError, match=reason):
        read(written(tmp_path, name, content), **options)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecordedError, match=r"missing\.csv: No such file"):
        read(tmp_path / "missing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RecordedError, match=r"folder\.csv: not a file"):
        read(tmp_path / "folder.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(RecordedError, match=r"pipe\.csv: not a file"):
        read(tmp_path / "pipe.csv")
    with pytest.raises(RecordedError, match="null"):
        read(tmp_path / "nul\0.csv")


def test_a_file_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "x.csv", "1ms\n" * 11)
    monkeypatch.setattr(recorded, "MOST_VALUES", 10)
    with pytest.raises(RecordedError, match="line 11: more than 10 values"):
        read(path)
    with path.open("wb") as sparse:
        sparse.truncate(recorded.MOST_BYTES + 1)
    with pytest.raises(RecordedError, match="larger than 32 MB"):
        read(path)


@given(some_seconds, st.floats(1e-9, 1 - 1e-9))
def test_the_quantiles_are_those_of_numpy(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[float], share: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "numpy.jsonl"
    path.write_text("".join(f"{value!r}\n" for value in seconds), encoding="utf-8")
    latency = load(path, unit="s")
    assert latency.quantile(share) == pytest.approx(np.quantile(seconds, share), rel=1e-9)
    assert latency.cdf(latency.quantile(share) * (1 + 1e-9) + 1e-9) >= share - 1e-9


def test_draws_from_a_recording_are_spread_as_it_is(tmp_path: Path) -> None:
    values = scipy.stats.gamma(2, scale=0.02).rvs(3000, random_state=np.random.default_rng(1))
    path = written(tmp_path, "x.csv", "".join(f"{value!r}\n" for value in values.tolist()))
    latency, stream = load(path, unit="s"), Stream(1, "ANY /", "latency")
    drawn = [latency.quantile(stream.uniform(n)) for n in range(3000)]
    assert scipy.stats.ks_2samp(drawn, values).pvalue > 0.001


def in_mixture(latency: Latency) -> Latency:
    return Mixture(((0.5, latency), (0.5, Constant(1.0))))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("calls.csv", ""),
        ("two words.csv", ""),
        ('a,(b) "c".csv', ""),
        (" edge\t.csv", ""),
        ("ü.csv", ", field=took, unit=ms"),
        ("x.csv", ', field="took, unit", unit=s'),
    ],
)
def test_the_printed_text_reads_back_the_same_recording_from_anywhere(
    tmp_path: Path, name: str, words: str
) -> None:
    field = "took, unit" if '"' in words else "took"
    written(tmp_path, name, f'"{field}"\n5ms\n7ms\n9ms\n')
    latency = parse(f"file({json.dumps(name)}{words})", tmp_path)
    assert latency.quantile(0.5) == 0.007
    for one in (latency, in_mixture(latency)):
        assert parse(str(one), Path("/")) == one
        assert str(parse(str(one), Path("/"))) == str(one)
        assert hash(one) == hash(parse(str(one), Path("/")))


def test_a_recording_may_be_a_part_of_a_mixture(tmp_path: Path) -> None:
    written(tmp_path, "calls.csv", "10\n20\n30\n")
    latency = parse("0.5*file(calls.csv, unit=ms) + 0.5*1s", tmp_path)
    assert latency.quantile(0.25) == pytest.approx(0.02)
    assert latency.quantile(0.75) == 1


def test_a_bad_file_is_named_with_its_line_and_its_place_in_the_text(tmp_path: Path) -> None:
    written(tmp_path, "calls.csv", "10\noops\n")
    with pytest.raises(TextError) as refused:
        parse("0.5*1s + 0.5*file( calls.csv, unit=ms)", tmp_path)
    message, shown, mark = str(refused.value).split("\n")
    assert message.startswith("calls.csv, line 2: 'oops' is not a duration")
    assert message.endswith("(column 20)")
    assert shown[mark.index("^") : mark.rindex("^") + 1] == "calls.csv"


def test_a_profile_reads_files_from_its_folder_only(tmp_path: Path) -> None:
    written(tmp_path, "calls.csv", "10ms\n20ms\n30ms\n")
    values = {"latency": "file(calls.csv)"}
    profile = Profile.model_validate(values, context={"folder": tmp_path})
    assert profile.latency.quantile(0.5) == 0.02
    with pytest.raises(ValueError, match="no file is read here"):
        Profile.model_validate(values)
    with pytest.raises(ValueError, match="no file is read here"):
        Profile.model_validate_json(profile.model_dump_json())


@given(st.integers(0, 50), st.floats(1e-3, 1), st.floats(0, 1.5))
def test_a_fit_meets_the_quantiles_of_what_it_was_fitted_to(
    seed: int, median: float, sigma: float
) -> None:
    stream = Stream(seed, "", "fit")
    values = [median * exp(sigma * NormalDist().inv_cdf(stream.uniform(n))) for n in range(1000)]
    latency = parse(fit(values))
    for share in (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99):
        assert latency.quantile(share) == pytest.approx(np.quantile(values, share), rel=0.0051)
    assert latency.quantile(1 - 1e-15) <= max(values) * 1.006


@given(st.lists(st.floats(0, LONGEST), min_size=20, max_size=200))
def test_any_recorded_delays_are_fitted_by_a_text_that_can_be_read(values: list[float]) -> None:
    text = fit(values)
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.7*lognormal(p50=5ms,p99=15ms) + 0.3*lognormal(p50=900ms,p99=1.2s)",
        "gamma(mean=80ms,shape=0.8)",
        "pareto(min=3ms,alpha=1.1,max=20s)",
        "0.5*10ms + 0.5*uniform(1s,2s)",
    ],
)
def test_a_fit_lies_close_to_any_shape(text: str) -> None:
    latency, stream = parse(text), Stream(3, "", "fit", "stratified")
    values = [latency.quantile(stream.uniform(n)) for n in range(5000)]
    fitted = parse(fit(values))
    again = [fitted.quantile((n + 0.5) / 5000) for n in range(5000)]
    # Rounded: where many values are the same, an ulp would set them apart.
    assert scipy.stats.ks_2samp(np.round(values, 12), np.round(again, 12)).statistic < 0.03


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.05] * 20, "50ms"),
        ([0.0] * 20, "0ms"),
        ([n / 1000 for n in range(1, 101)], "p5=5.95ms"),
        ([n / 1000 for n in range(1, 10_001)], "p99.9=9.99s max=10s"),
        ([0.0] * 15 + [1.0] * 15, "p25=1us p48=1us"),
    ],
)
def test_a_fit_is_a_short_text(values: list[float], text: str) -> None:
    assert text in fit(values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.1] * 19, "19 values are too few to fit; 20 are needed"),
        ([0.1] * 19 + [-1.0], "is not a delay"),
        ([0.1] * 19 + [float("nan")], "is not a delay"),
        ([0.1] * 19 + [LONGEST + 1], "is not a delay"),
    ],
)
def test_unfittable_delays_are_refused(values: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fit(values)
