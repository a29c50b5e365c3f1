"""Earlier runs: what is listed, what is left out, and that no name leads anywhere else."""

import json
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loadtests import results
from loadtests.report import writing
from loadtests.storage import saved_runs
from loadtests.storage.saved_runs import MOST, NoSuchRun, Shelf, folder
from tests.support import example_runs

RUN = example_runs.single_level()
NAMES = ["20261120-131500-shop", "20261120-131501-shop", "20261121-080000-shop"]


def put(out, name, text=None, at=None):
    """A run's folder with this run.json; `at`: when that was written, in seconds."""
    path = out / name
    path.mkdir(parents=True, exist_ok=True)
    file = path / "run.json"
    file.write_text(results.to_json(RUN) if text is None else text, encoding="utf-8")
    if at is not None:
        os.utime(file, (at, at))
    return path


def plain(name="shop", **more):
    """A run with as little as the list needs."""
    facts = {"name": name, "started": "2026-11-20T13:15:00Z", "status": "complete", "points": []}
    return json.dumps(facts | more)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def names(of):
    return [entry["id"] for entry in of.listed()]


def test_the_latest_run_comes_first(out):
    for name in (NAMES[1], NAMES[0], NAMES[2]):
        put(out, name)
    assert names(Shelf(out)) == NAMES[::-1]


def test_each_listed_run_has_name_time_and_deployments(out):
    run = example_runs.example()
    path = put(out, NAMES[0], results.to_json(run))
    writing.write(run, path)
    put(out, NAMES[1], plain("nothing", status="interrupted"))
    nothing, whole = Shelf(out).listed()
    assert whole == {
        "id": NAMES[0],
        "name": "example",
        "started": "2026-11-20T13:15:00Z",
        "status": "complete",
        "deployments": ["blocking-requests", "async-httpx", "async-aiohttp"],
        "levels": "1 to 160",
        "files": saved_runs.FILES,
    }
    assert (nothing["status"], nothing["levels"], nothing["deployments"]) == (
        "interrupted",
        "none",
        [],
    )
    assert nothing["files"] == {"run.json": "run.json"}


def test_the_files_of_a_run_are_listed_as_they_come_and_go(out):
    path = put(out, NAMES[0])
    kept = Shelf(out)
    assert set(kept.listed()[0]["files"]) == {"run.json"}
    (path / "report.html").write_text("<p>", encoding="utf-8")  # which is written after run.json
    (path / "secret.txt").write_text("hush", encoding="utf-8")
    assert set(kept.listed()[0]["files"]) == {"run.json", "report.html"}
    (path / "report.html").unlink()
    assert set(kept.listed()[0]["files"]) == {"run.json"}


@pytest.mark.parametrize("kind", saved_runs.FILES)
def test_links_and_pipes_are_not_files_of_a_run(out, tmp_path, kind):
    path = put(out, NAMES[0])
    put(out, NAMES[1])
    (path / kind).unlink(missing_ok=True)
    (tmp_path / "elsewhere").write_text(results.to_json(RUN), encoding="utf-8")
    for link in (tmp_path / "elsewhere", out / NAMES[1] / "run.json", tmp_path / "nowhere"):
        (path / kind).symlink_to(link)
        with pytest.raises(NoSuchRun):
            saved_runs.file(out, NAMES[0], kind)
        listed = {entry["id"]: entry["files"] for entry in Shelf(out).listed()}
        assert kind not in listed.get(NAMES[0], {})
        (path / kind).unlink()
    os.mkfifo(path / kind)
    with pytest.raises(NoSuchRun):
        saved_runs.file(out, NAMES[0], kind)


@pytest.mark.parametrize("kind", ["plan.toml", "slices.jsonl", "logs", "", "..", "run.json/"])
def test_other_files_are_not_files_of_a_run(out, kind):
    path = put(out, NAMES[0])
    (path / "plan.toml").write_text("", encoding="utf-8")
    with pytest.raises(NoSuchRun):
        saved_runs.file(out, NAMES[0], kind)


def test_without_a_folder_there_are_no_runs(out):
    assert Shelf(out).listed() == []
    out.write_text("a file", encoding="utf-8")
    assert Shelf(out).listed() == []


BROKEN = {
    "empty": "",
    "cut": results.to_json(RUN)[:-40],
    "list": "[]",
    "null": "null",
    "text": '"points"',
    "number": "7",
    "deep": "[" * 100_000,
    "deep-points": '{"points": ' + "[" * 100_000,
    "no-points": json.dumps({"name": "n", "started": "s", "status": "complete"}),
    "odd-points": plain(points=7),
    "point-is-text": plain(points=["level"]),
    "no-level": plain(points=[{"deployment": "a"}]),
    "level-of-text": plain(points=[{"deployment": "a", "level": "many"}]),
    "null-level": plain(points=[{"deployment": "a", "level": None}]),
    "endless-level": '{"name": "", "started": "", "status": "", "points": [{"level": 1e999}]}',
    "no-number": '{"name": "", "started": "", "status": "", "points": [{"level": NaN}]}',
    "long-number": '{"points": [{"level": ' + "9" * 5000 + "}]}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_run_that_cannot_be_read_is_left_out_and_the_others_are_listed(out, kind):
    put(out, NAMES[0])
    put(out, f"{NAMES[1]}-{kind}", BROKEN[kind])
    put(out, NAMES[2])
    kept = Shelf(out)
    for _ in range(2):
        assert names(kept) == [NAMES[2], NAMES[0]]
    with pytest.raises(NoSuchRun):
        kept.read(f"{NAMES[1]}-{kind}")


def test_folders_without_a_run_are_not_listed(out):
    put(out, NAMES[0])
    (out / "20261122-000000-going-on" / "logs").mkdir(parents=True)
    (out / "20261122-000001-file").write_text(results.to_json(RUN), encoding="utf-8")
    (out / "20261122-000002-folder" / "run.json").mkdir(parents=True)
    put(out, "20261122-000003-bytes").joinpath("run.json").write_bytes(b"\xff\xfe{}")
    for name in (".hidden", "-dash", "_under", "two words", "größe", "a" * 202):
        put(out, name)
    assert names(Shelf(out)) == [NAMES[0]]


def test_a_link_is_not_a_run(out, tmp_path):
    put(out, NAMES[0])
    elsewhere = put(tmp_path, "elsewhere")
    (out / NAMES[1]).symlink_to(elsewhere)
    (out / NAMES[2]).symlink_to(out / NAMES[0])
    assert names(Shelf(out)) == [NAMES[0]]
    for name in NAMES[1:]:
        with pytest.raises(NoSuchRun):
            folder(out, name)


ELSEWHERE = [
    "",
    ".",
    "..",
    "../elsewhere",
    "../runs/" + NAMES[0],
    "./" + NAMES[0],
    NAMES[0] + "/",
    NAMES[0] + "/logs",
    NAMES[0] + "/../../elsewhere",
    NAMES[0] + "\n",
    NAMES[0] + "\0",
    "\0",
    "%2e%2e%2felsewhere",
    "%2e%2e",
    "..%2felsewhere",
    "..\\elsewhere",
    "~",
    "x" * 10_000,
    "a/" * 5000,
    "/",
    "/etc",
    " " + NAMES[0],
    NAMES[0].replace("-", "\u2010"),
    "\ud800",
]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_is_not_a_run(out, tmp_path, name):
    (put(out, NAMES[0]) / "logs").mkdir()
    put(tmp_path, "elsewhere")
    with pytest.raises(NoSuchRun, match="there is no run '") as caught:
        Shelf(out).read(name)
    assert len(str(caught.value)) < 150
    str(caught.value).encode()  # it is sent to the page
    with pytest.raises(NoSuchRun):
        folder(out, str(tmp_path / "elsewhere"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of runs with two runs, a file and a link, and a run outside it."""
    tmp_path = tmp_path_factory.mktemp("place")
    out = tmp_path / "runs"
    for name in ("a", "a.b"):
        (put(out, name) / "logs").mkdir()
    put(tmp_path, "elsewhere")
    (out / "file").write_text("", encoding="utf-8")
    (out / "link").symlink_to(tmp_path / "elsewhere")
    return out


parts = st.sampled_from(
    ["a", ".", "..", "/", "\\", "%2e", "%2f", "\0", "elsewhere", "link", "logs", "file", "runs"]
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text() | st.lists(parts, max_size=7).map("".join))
@example(name="a")
@example(name="a.b")
def test_any_name_is_a_run_of_this_folder_or_none(place, name):
    try:
        found = folder(place, name)
    except NoSuchRun:
        assert name not in ("a", "a.b")
    else:
        assert name in ("a", "a.b")
        assert found.resolve().parent == place.resolve()


def test_a_run_that_was_reported_again_is_read_again(out):
    put(out, NAMES[0], plain("before"), at=1000)
    kept = Shelf(out)
    assert kept.listed()[0]["name"] == "before"
    put(out, NAMES[0], plain("after"), at=1001)
    assert kept.listed()[0]["name"] == "after"
    put(out, NAMES[0], "{", at=1002)
    assert kept.listed() == []
    put(out, NAMES[0], plain("mended"), at=1000)  # from a copy, with its old date
    assert kept.listed()[0]["name"] == "mended"


def test_unchanged_runs_are_not_read_again(out):
    put(out, NAMES[0], plain("before"), at=1000)
    kept = Shelf(out)
    first = kept.listed()
    put(out, NAMES[0], "{", at=1000)
    assert kept.listed() == first


def test_a_run_that_is_taken_away_is_listed_no_more(out):
    path = put(out, NAMES[0])
    kept = Shelf(out)
    assert names(kept) == [NAMES[0]]
    (path / "run.json").unlink()
    assert names(kept) == []


def test_the_latest_are_listed_and_no_more_than_there_is_room_for(out):
    for number in range(MOST + 3):
        put(out, f"run-{number:04}", plain())
    for number in range(5):
        put(out, f"zzz-broken-{number}", "{")  # these take no place
    assert names(Shelf(out)) == [f"run-{n:04}" for n in range(MOST + 2, 2, -1)]


def test_a_run_is_read_whole(out):
    put(out, NAMES[0])
    assert Shelf(out).read(NAMES[0]) == RUN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "holds no run.json"),
        ("{", "cannot be read"),
        ('{"format": "har/1"}', "'har/1'"),
        ('{"format": "brownout-run/2"}', "id: Field required"),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_a_run_that_cannot_be_read_says_which_one_and_why(out, text, why):
    path = put(out, NAMES[0], text or "")
    if text is None:
        (path / "run.json").unlink()
    with pytest.raises(NoSuchRun) as caught:
        Shelf(out).read(NAMES[0])
    assert NAMES[0] in str(caught.value)
    assert why in str(caught.value)
