"""points.csv, read again as a program reads it, and as a spreadsheet would."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests import results
from loadtests.report import writing
from loadtests.report.outputs import csv_points
from loadtests.results import Errors, Estimate, Limit, Point
from tests.support import example_runs

HEADER = (
    "deployment,request,model,level,requests,seconds,"
    "throughput_per_s,throughput_low_per_s,throughput_high_per_s,"
    "response_time_p50_s,response_time_p50_low_s,response_time_p50_high_s,"
    "response_time_p95_s,response_time_p95_low_s,response_time_p95_high_s,"
    "response_time_p99_s,response_time_p99_low_s,response_time_p99_high_s,"
    "response_time_mean_s,response_time_mean_low_s,response_time_mean_high_s,"
    "service_time_p95_s,service_time_p95_low_s,service_time_p95_high_s,"
    "error_rate,error_kinds,in_flight,"
    "noise_throughput_per_s,noise_p50_s,noise_p95_s,noise_p99_s,noise_mean_s,left_out_s,"
    "steady,valid,problems,limit,request_cpu_s,canary_s,request_canaries"
)
FIXED = HEADER.split(",")
NAMES = ("pre_app", "thread_wait", "pool_wait", "connect", "upstream", "loop_wait", "own", "rest")


def table(run, delimiter=","):
    lines = csv.reader(
        StringIO(csv_points.render(run), newline=""), delimiter=delimiter, strict=True
    )
    return [*lines]


def rows(run):
    header, *lines = table(run)
    assert len({*header}) == len(header)
    return [dict(zip(header, line, strict=True)) for line in lines]


def run_of(*of):
    return example_runs.example().model_copy(update={"points": [*of]})


def first(**changes):
    return example_runs.single_level().points[0].model_copy(update=changes)


def number(cell):
    return float(cell) if cell else None


def ends(row, name, unit):
    return [number(row[f"{name}{end}{unit}"]) for end in ("", "_low", "_high")]


def ends_of(estimate):
    return [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]


def test_the_columns_are_these_in_this_order():
    resources = [
        "resource_app_cpu_cores",
        "resource_generator_cpu_cores",
        "resource_mock_cpu_cores",
    ]
    spent = [f"phase_{of}_{name}_s" for of in ("mean", "p95") for name in NAMES]
    assert table(example_runs.example())[0] == FIXED + resources
    assert table(example_runs.explained())[0] == FIXED + resources + spent


def test_each_point_is_a_row_in_the_order_of_the_run():
    run = example_runs.example()
    part = run.points[0].model_copy(update={"request": "/data"})
    run = run.model_copy(update={"points": [*run.points, part]})
    found = [(row["deployment"], row["request"], row["level"]) for row in rows(run)]
    assert found == [(p.deployment, p.request, str(p.level)) for p in run.points]


def test_a_run_without_points_is_the_header_alone():
    assert csv_points.render(run_of()) == HEADER + "\r\n"


def test_texts_have_columns_of_their_own():
    limit = Limit(resource="cpu", why="one busy core")
    of = first(
        errors=Errors(rate=0.25, kinds={"503": 41, "timeout": 9}),
        problems=["no host samples", "too short, by far"],
        steady="drifting",
        valid=False,
        limit=limit,
    )
    (row,) = rows(run_of(of))
    assert row["error_kinds"] == "503: 41; timeout: 9"
    assert row["problems"] == "no host samples; too short, by far"
    assert (row["steady"], row["valid"], row["limit"]) == ("drifting", "false", "cpu")
    (row,) = rows(run_of(first()))
    assert (row["error_kinds"], row["problems"], row["valid"], row["limit"]) == ("", "", "true", "")


def test_the_service_time_of_the_open_model_is_next_to_the_response_time():
    run = example_runs.open_model()
    for of, row in zip(run.points, rows(run), strict=True):
        assert row["model"] == "open"
        assert ends(row, "service_time_p95", "_s") == ends_of(of.service_time["p95"])
    unstable = rows(run)[3]
    assert (unstable["steady"], unstable["response_time_p95_s"]) == ("over-saturated", "")


def test_unmeasured_values_are_empty_and_zeros_are_zero():
    nothing = Point(
        deployment="mine",
        request="all",
        level=5,
        requests=0,
        seconds=0.0,
        throughput=Estimate(value=0.0),
        response_time={"p50": None},
        service_time={},
        errors=Errors(rate=0.0),
        valid=False,
    )
    silent = nothing.model_copy(update={"requests": 3, "seconds": 5.0, "in_flight": 0.0})
    told = first(resources={"app_rss": 0.0}, phases={"mean": {"connect": 0.0}})
    lost, stuck, last = rows(run_of(nothing, silent, told))
    filled = {name for name, cell in lost.items() if cell}
    assert filled == {"deployment", "request", "model", "level", "requests", "seconds", "valid"}
    assert {name for name, cell in stuck.items() if cell} - filled == {
        "throughput_per_s",
        "error_rate",
        "in_flight",
    }
    assert stuck["throughput_per_s"] == stuck["error_rate"] == stuck["in_flight"] == "0.0"
    assert last["resource_app_rss_bytes"] == last["phase_mean_connect_s"] == "0.0"


def test_unknown_phases_and_resources_are_columns_under_their_names():
    of = first(resources={"disk": 2.5}, phases={"p95": {"dns": 0.5, "own": 0.25}, "p50": {"x": 1}})
    header, line = table(run_of(of))
    added = ["resource_disk", "phase_p95_own_s", "phase_p95_dns_s"]
    assert (header, line[-3:]) == (FIXED + added, ["2.5", "0.25", "0.5"])


@pytest.mark.parametrize("sign", [*"=+-@\t\r\n\0", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_is_a_formula(sign):
    evil = sign + "cmd|' /C calc'!A0"
    of = first(
        deployment=evil,
        request=evil,
        errors=Errors(rate=1.0, kinds={evil: 2, "503": 1}),
        problems=[evil],
    )
    (row,) = rows(run_of(of))
    assert row["deployment"] == row["request"] == row["problems"] == "'" + evil
    assert row["error_kinds"] == f"'{evil}: 2; 503: 1"


@pytest.mark.parametrize("delimiter", ";\t")
@pytest.mark.parametrize("start", ["", " ", '"', ' "', "\n", "\r\n"])
def test_no_text_is_a_formula_where_the_comma_ends_no_cell(start, delimiter):
    evil = f"a{delimiter}{start}=1+1{delimiter}b"
    of = first(deployment=evil, request=evil, errors=Errors(rate=1.0, kinds={"a": 1, "=b": 1}))
    text = csv_points.render(run_of(of))
    cells = [cell for line in csv.reader(StringIO(text), delimiter=delimiter) for cell in line]
    assert any("=1+1" in cell for cell in cells)
    assert not [cell for cell in cells if cell.lstrip(' "\t\r\n').startswith("=")]


def test_numbers_are_not_taken_for_formulas():
    (row,) = rows(run_of(first(resources={"drift": -1.5e-07})))
    assert row["resource_drift"] == "-1.5e-07"


def test_the_file_is_utf_8_with_the_line_ends_of_rfc_4180(tmp_path):
    run = example_runs.renamed(example_runs.single_level(), "mine", 'größe "µ", 速い 🐢')
    writing.write(run, tmp_path)
    content = (tmp_path / "points.csv").read_bytes()
    assert content.startswith(b"deployment,")
    assert content.count(b"\r\n") == content.count(b"\n") == 2
    assert '"größe ""µ"", 速い 🐢",all,closed,10,'.encode() in content
    assert rows(results.read(tmp_path))[0]["deployment"] == 'größe "µ", 速い 🐢'


finite = st.floats(allow_nan=False, allow_infinity=False)
maybe = st.none() | finite
estimates = st.builds(Estimate, value=finite, low=maybe, high=maybe)
times = st.fixed_dictionaries(dict.fromkeys(("p50", "p95", "p99", "mean"), st.none() | estimates))
texts = st.text(st.characters(codec="utf-8") | st.sampled_from("=+-@;,\"'\t\r\n "))
built = st.builds(
    Point,
    deployment=texts,
    request=texts,
    model=st.sampled_from(["closed", "open"]),
    level=st.integers(min_value=1),
    requests=st.integers(min_value=1),
    seconds=st.floats(min_value=0.25, max_value=1e9),
    throughput=estimates,
    response_time=times,
    service_time=times,
    errors=st.builds(Errors, rate=finite, kinds=st.dictionaries(texts, st.integers(), max_size=3)),
    phases=st.dictionaries(
        st.sampled_from(["mean", "p95"]),
        st.dictionaries(st.sampled_from(NAMES), finite),
    ),
    resources=st.dictionaries(st.sampled_from(["app_cpu", "app_rss"]), finite),
    in_flight=maybe,
    steady=st.sampled_from(["steady", "drifting", "over-saturated", "unsteady", None]),
    valid=st.booleans(),
    problems=st.lists(texts, max_size=3),
)


def same(cell, text):
    """Whether they are equal but for the apostrophes that were put in."""
    return cell.replace("'", "") == text.replace("'", "")


@given(st.lists(built, max_size=3))
def test_values_are_read_back_unchanged(expected):
    found = rows(run_of(*expected))
    for of, row in zip(expected, found, strict=True):
        assert same(row["deployment"], of.deployment)
        assert same(row["request"], of.request)
        kinds = "; ".join(f"{kind}: {count}" for kind, count in of.errors.kinds.items())
        assert same(row["error_kinds"], kinds)
        assert same(row["problems"], "; ".join(of.problems))
        assert not [cell for cell in row.values() if cell[:1] in {*"=+@\t\r"}]
        assert (row["model"], row["steady"] or None) == (of.model, of.steady)
        assert row["valid"] == str(of.valid).lower()
        assert (int(row["level"]), int(row["requests"])) == (of.level, of.requests)
        assert float(row["seconds"]) == of.seconds
        assert ends(row, "throughput", "_per_s") == ends_of(of.throughput)
        for name, time in of.response_time.items():
            assert ends(row, f"response_time_{name}", "_s") == ends_of(time)
        assert ends(row, "service_time_p95", "_s") == ends_of(of.service_time["p95"])
        assert number(row["error_rate"]) == of.errors.rate
        assert number(row["in_flight"]) == of.in_flight
        for name, unit in (("app_cpu", "_cores"), ("app_rss", "_bytes")):
            assert number(row.get(f"resource_{name}{unit}")) == of.resources.get(name)
        for part in ("mean", "p95"):
            for name in NAMES:
                seconds = number(row.get(f"phase_{part}_{name}_s"))
                assert seconds == of.phases.get(part, {}).get(name)
