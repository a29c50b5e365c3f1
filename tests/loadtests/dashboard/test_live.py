"""The controller's side of the pages: asks are answered, and the run is as it is without them."""

import json
import tomllib
from collections import deque
from contextlib import closing, suppress
from pathlib import Path

import pytest

from loadtests import plans, results
from loadtests.analysis import runs
from loadtests.analysis.inputs import records
from loadtests.analysis.inputs.records import Record
from loadtests.dashboard import pages
from loadtests.dashboard.live import MOST_LAID_OVER, Dashboard
from loadtests.dashboard.upstream_control import UpstreamControl
from loadtests.plans import Plan, Request, UrlDeployment
from loadtests.recording.messages import (
    CommandResult,
    Finish,
    PageCommand,
    PageContent,
    Report,
    Stage,
    Stopped,
    UpstreamChanged,
)
from loadtests.report import writing
from loadtests.run.controller import StoppedByHand, Targets, play
from loadtests.run.engine_process import EngineFailed
from loadtests.run.starter import RunningMock
from loadtests.schedules import Step
from loadtests.storage.run_folder import RunFolder, StorageFailed
from mock_upstream import client
from mock_upstream.profiles.profile import Profile
from tests.support import example_runs
from tests.support.simulated_engine import SimulatedEngine, constant, threads

NOBODY = RunningMock("http://127.0.0.1:1", "http://127.0.0.1:1", 0)  # a port where nobody listens
PLAN = Plan(
    name="shop",
    deployments={
        name: UrlDeployment(url=f"http://127.0.0.1:{port}", ready=None)
        for name, port in (("slow", 1), ("quick", 2))
    },
    requests=(Request(path="/"),),
    load=plans.Load(levels=(1, 5, 20), settle="500ms", measure="2s"),
)
HEADER = {"id": "now", "name": "shop", "started": "2026-11-20T13:15:00Z", "origin": 990.0}


class Listed:
    """An engine that is a list: what it is sent, and what comes; nobody waits."""

    def __init__(self, *coming):
        self.sent = []
        self.coming = deque(coming)
        self.gone = False
        self.simulated = SimulatedEngine(
            {"slow": threads(2, constant(0.1)), "quick": threads(99, constant(0.05))}
        )
        self.between = []  # asks that come before each report, and at the end of each stage

    def send(self, message):
        if self.gone:
            raise EngineFailed("the load generator is gone")
        self.sent.append(message)
        if isinstance(message, Stage):
            for one in self.simulated.play(message):
                self.coming += [*self.between, one] if isinstance(one, Report) else [one]

    def receive(self, timeout):
        if self.gone or not self.coming:
            raise EngineFailed("the load generator is gone")
        return self.coming.popleft()

    @property
    def shown(self):
        """What the pages are answered now, by name."""
        return {one.name: one.content for one in self.sent if isinstance(one, PageContent)}

    @property
    def now(self):
        return json.loads(self.shown["now"])

    @property
    def answers(self):
        return [one for one in self.sent if isinstance(one, CommandResult)]


class Watcher:
    """An observer that keeps what it sees."""

    def __init__(self):
        self.begun, self.points, self.problems = [], [], []

    def begins(self, step, number, of, seconds_left):
        self.begun.append((step, number, of))

    def measured(self, point):
        self.points.append(point)

    def problem(self, text):
        self.problems.append(text)


class Desk:
    def __init__(self, out, mock=NOBODY):
        self.out = out
        self.folders = []
        self.line, self.watcher = Listed(), Watcher()
        self.upstream = UpstreamControl(mock, Profile())
        self.dashboard = Dashboard(self.line, self.watcher, out, self.upstream)

    def folder(self, name="now", full=False):
        """A run's folder; `full`: on a disk without room for samples or anything after them."""
        path = self.out / name
        path.mkdir()
        if full:
            (path / "samples.jsonl").symlink_to("/dev/full")
        made = RunFolder(path, HEADER, tomllib.loads(plans.to_toml(PLAN)))
        self.folders.append(made)
        return made

    def close(self):
        for made in self.folders:
            with suppress(StorageFailed):
                made.end("interrupted")

    def ask(self, what, **values):
        """The answer to a page that wants something while nothing else comes."""
        self.line.coming += [PageCommand(number=7, what=what, values=values), Stopped()]
        assert self.dashboard.receive(1) == Stopped()
        answer = self.line.answers[-1]
        assert answer.number == 7
        return answer.problem

    def play(self, folder):
        """The whole plan; what was found, as a session ends it."""
        targets = Targets({name: one.url for name, one in PLAN.deployments.items()}, dict)
        self.dashboard.began(folder)
        play(PLAN, targets, self.dashboard, folder, self.dashboard)
        folder.end("complete")
        found = runs.run_of(folder.record)
        self.dashboard.ended(found)
        return found


@pytest.fixture
def desk(tmp_path):
    with closing(Desk(tmp_path)) as desk:
        yield desk


def keep(out, *names):
    """Earlier runs of these names."""
    for name in names:
        (out / name).mkdir()
        run = example_runs.single_level().model_copy(update={"id": name, "name": f"run {name}"})
        (out / name / "run.json").write_text(results.to_json(run), encoding="utf-8")


# Asks.


def test_commands_during_a_stage_are_answered_and_leave_the_run_unchanged(tmp_path):
    keep(tmp_path, "earlier")
    quiet, asked = Desk(tmp_path), Desk(tmp_path)
    numbers = range(1, 5)
    wanted = ["runs", "over", "upstream", "nonsense"]
    asked.line.between = [
        PageCommand(number=number, what=what, values={"run": "earlier"})
        for number, what in zip(numbers, wanted, strict=True)
    ]
    expected, found = quiet.play(quiet.folder("a")), asked.play(asked.folder("b"))
    assert found == expected
    assert asked.watcher.points == quiet.watcher.points
    assert len(asked.watcher.begun) == 6
    reports = (tmp_path / "b" / "slices.jsonl").read_text(encoding="utf-8").count('"type":"report"')
    assert len(asked.line.answers) == 4 * reports > 0
    assert quiet.line.answers == []
    assert {(one.number, one.problem) for one in asked.line.answers} == {
        (1, None),
        (2, None),
        (3, "no test runs: the next one starts with the profile of its form"),
        (4, "nobody answers 'nonsense'"),
    }
    messages = [one for one in asked.line.sent if not isinstance(one, PageContent | CommandResult)]
    assert messages == [one for one in quiet.line.sent if not isinstance(one, PageContent)]
    assert isinstance(messages[-1], Finish)


def test_commands_are_answered_in_order_before_messages(desk):
    asks = [PageCommand(number=number, what="runs") for number in range(5)]
    desk.line.coming += [*asks, Stopped(reason="by hand")]
    assert desk.dashboard.receive(None) == Stopped(reason="by hand")
    assert [one.number for one in desk.line.answers] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("what", ["", "nonsense", "__class__", "runs ", "UpstreamControl"])
def test_an_unknown_command_of_a_page_is_answered_with_a_problem(desk, what):
    assert desk.ask(what) == f"nobody answers {what!r}"


def test_impossible_changes_of_the_upstream_are_answered_with_the_reason(desk):
    for what in ("upstream", "outage", "restore"):
        assert desk.ask(what, latency="5ms") == (
            "no test runs: the next one starts with the profile of its form"
        )
    desk.upstream.begin(Profile())
    assert "the mock upstream does not answer" in desk.ask("outage")
    assert desk.ask("upstream", latency=5) == "latency: 5 is not text"
    assert desk.ask("upstream", errors="503 = 1979-05-27").startswith("errors: ")


def test_a_stop_between_commands_ends_the_test(desk):
    desk.line.between = [PageCommand(number=1, what="runs"), Stopped()]
    with pytest.raises(StoppedByHand):
        desk.play(desk.folder())


def test_waiting_for_a_late_message_ends_at_its_timeout(desk):
    seen = []

    def receive(timeout):
        seen.append(timeout)
        return PageCommand(number=1, what="runs") if len(seen) < 4 else Stopped()

    desk.line.receive = receive
    desk.dashboard.receive(5)
    assert len(seen) == 4
    assert 5 >= seen[0] >= seen[1] >= seen[2] >= seen[3] > 0
    assert seen[0] > seen[3]
    seen.clear()
    desk.dashboard.receive(None)
    assert seen == [None] * 4


# Earlier runs.


def test_the_runs_are_listed_again_when_a_page_asks(desk):
    desk.dashboard.open()
    assert json.loads(desk.line.shown["runs"]) == []
    keep(desk.out, "a", "b")
    assert desk.ask("runs") is None
    assert [run["id"] for run in json.loads(desk.line.shown["runs"])] == ["b", "a"]


def over(line):
    """The parts that exist of each run that is laid over."""
    found = {}
    for name, content in line.shown.items():
        kind, *rest = name.split("/")
        if kind == "over" and content is not None:
            found.setdefault(rest[0], set()).add(rest[1])
    return found


PARTS = {*pages.CHARTS, "legend"}


def test_a_run_is_laid_over_with_its_charts_its_legend_and_its_table(desk):
    keep(desk.out, "a")
    assert desk.ask("over", run="a") is None
    assert over(desk.line) == {"a": PARTS}
    run = results.read(desk.out / "a")
    assert desk.line.shown["over/a/p95-wide"] == pages.drawn(None, run)["p95-wide"]
    legend = json.loads(desk.line.shown["over/a/legend"])
    assert legend == {"legend": pages.legend(None, run), "table": pages.table(run)}


def test_a_bounded_number_of_runs_is_laid_over_and_the_oldest_is_taken_away(desk):
    names = [f"run-{number}" for number in range(MOST_LAID_OVER + 2)]
    keep(desk.out, *names)
    for count, name in enumerate(names, 1):
        assert desk.ask("over", run=name) is None
        kept = names[max(count - MOST_LAID_OVER, 0) : count]
        assert over(desk.line) == dict.fromkeys(kept, PARTS)
    gone = [
        one.name for one in desk.line.sent if isinstance(one, PageContent) and one.content is None
    ]
    assert sorted(gone) == sorted(f"over/{name}/{part}" for name in names[:2] for part in PARTS)


def test_a_run_that_was_taken_away_can_be_laid_over_again(desk):
    names = [f"run-{number}" for number in range(MOST_LAID_OVER + 1)]
    keep(desk.out, *names)
    for name in (*names, names[0]):
        assert desk.ask("over", run=name) is None
    assert set(over(desk.line)) == {names[0], *names[2:]}


@pytest.mark.parametrize("name", ["gone", "../a", "", "%2e%2e", "a" * 5000, "\0", 7, None, ["a"]])
def test_a_folder_without_a_run_is_a_problem_and_removes_nothing(desk, name):
    kept = [f"run-{number}" for number in range(MOST_LAID_OVER)]
    keep(desk.out, *kept)
    for one in kept:
        desk.ask("over", run=one)
    assert "there is no run" in desk.ask("over", run=name)
    assert over(desk.line) == dict.fromkeys(kept, PARTS)
    assert "there is no run ''" in desk.ask("over")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": "har/1"}'])
def test_a_run_that_cannot_be_read_is_a_problem(desk, text):
    (desk.out / "bad").mkdir()
    (desk.out / "bad" / "run.json").write_text(text, encoding="utf-8")
    assert "bad" in desk.ask("over", run="bad")
    assert over(desk.line) == {}
    assert desk.ask("runs") is None


def test_an_overlaid_run_is_shown_with_the_current_run(desk):
    keep(desk.out, "a")
    desk.ask("over", run="a")
    alone = desk.line.shown["over/a/p95-wide"]
    found = desk.play(desk.folder())
    earlier = results.read(desk.out / "a")
    assert desk.line.shown["over/a/p95-wide"] == pages.drawn(found, earlier)["p95-wide"] != alone
    desk.dashboard.refused("the next one cannot begin")
    assert desk.line.shown["over/a/p95-wide"] == alone
    assert "Dashed" not in json.loads(desk.line.shown["over/a/legend"])["legend"]


# What the pages show.


def test_before_the_first_run_there_is_a_page_that_says_so(desk):
    keep(desk.out, "a")
    desk.dashboard.open()
    shown = desk.line.shown
    assert set(shown) == {"page", "degradation.js", "vega.js", "runs", "rows", "now"}
    assert "{{token}}" in shown["page"]
    assert len(shown["vega.js"]) > 100_000
    assert json.loads(shown["rows"]) == []
    assert [run["id"] for run in json.loads(shown["runs"])] == ["a"]
    now = desk.line.now
    assert (now["state"], now["problems"], now["sections"]) == ("ready", [], {})
    assert now["upstream"]["running"] is False


def test_each_point_is_shown_once_it_is_measured_and_passed_on(desk):
    rows = []
    keep_row = desk.watcher.measured

    def measured(point):
        rows.append(len(json.loads(desk.line.shown["rows"])))
        keep_row(point)

    desk.watcher.measured = measured
    desk.play(desk.folder())
    assert rows == [0, 1, 2, 3, 4, 5]
    assert len(json.loads(desk.line.shown["rows"])) == 6
    assert [(point.deployment, point.level) for point in desk.watcher.points] == [
        ("slow", 1),
        ("quick", 1),
        ("quick", 5),
        ("slow", 5),
        ("slow", 20),
        ("quick", 20),
    ]
    assert {(row["deployment"], row["level"]) for row in json.loads(desk.line.shown["rows"])} == {
        (point.deployment, point.level) for point in desk.watcher.points
    }


def test_points_shown_during_a_run_equal_those_at_its_end(desk):
    folder = desk.folder()
    shown = []
    desk.watcher.begins = lambda *_: shown.append(json.loads(desk.line.shown["rows"]))
    desk.play(folder)
    whole = folder.record
    for count, rows in enumerate(shown):
        part = Record(whole.header, stages=whole.stages[:count])
        assert rows == pages.rows(runs.run_of(part))
    assert len(shown) == len(whole.stages)


def test_the_page_shows_the_current_level_and_the_time_left(desk):
    desk.dashboard.began(desk.folder())
    assert desk.line.now["state"] == "running"
    assert "stage" not in desk.line.now
    desk.dashboard.begins(Step("slow", 5), 2, 6, 12.34)
    assert desk.line.now["stage"] == {
        "text": "slow at 5 users",
        "number": 2,
        "of": 6,
        "left": 12.3,
    }
    assert (desk.line.now["name"], desk.line.now["id"]) == ("shop", "now")
    assert desk.watcher.begun == [(Step("slow", 5), 2, 6)]


def test_every_version_of_the_charts_has_a_name_of_its_own(desk):
    desk.play(desk.folder())
    drawn = [
        json.loads(one.content)["drawn"]
        for one in desk.line.sent
        if isinstance(one, PageContent) and one.name == "now"
    ]
    charts = [
        one
        for one in desk.line.sent
        if isinstance(one, PageContent) and one.name == "chart/p95-wide"
    ]
    assert len(set(drawn)) == len(charts) == 8  # at the beginning, after each point, at the end
    assert list(dict.fromkeys(drawn)) == sorted(set(drawn))


def test_charts_exist_before_the_page_is_notified(desk):
    desk.play(desk.folder())
    latest = {}
    for place, one in enumerate(desk.line.sent):
        if isinstance(one, PageContent):
            latest[one.name] = place
    assert latest["now"] > max(latest[f"chart/{name}"] for name in pages.CHARTS)
    assert latest["now"] > latest["rows"]


def test_after_the_end_the_page_shows_the_whole_run_and_its_state(desk):
    folder = desk.folder()
    found = desk.play(folder)
    now = desk.line.now
    assert (now["state"], now["stage"], now["id"]) == ("complete", None, "now")
    assert now["sections"] == pages.sections(found)
    assert json.loads(desk.line.shown["rows"]) == pages.rows(found)
    for name, chart in pages.drawn(found).items():
        assert desk.line.shown[f"chart/{name}"] == chart


def test_a_run_that_was_ended_by_hand_is_shown_as_interrupted(desk):
    folder = desk.folder()
    desk.dashboard.began(folder)
    folder.end("interrupted")
    desk.dashboard.ended(runs.run_of(folder.record))
    assert (desk.line.now["state"], desk.line.now["sections"]) == ("interrupted", {})


def test_a_run_in_progress_is_not_shown_as_interrupted(desk):
    """The record has no end yet, which is no reason to call the run interrupted."""
    folder = desk.folder()
    desk.dashboard.began(folder)
    assert folder.record.status == "interrupted"
    assert desk.line.now["state"] == "running"
    assert not any("nterrupted" in content for content in desk.line.shown.values() if content)


def test_the_run_is_listed_as_soon_as_it_is_over(desk):
    folder = desk.folder()
    desk.dashboard.began(folder)
    folder.end("complete")
    found = runs.run_of(folder.record)
    writing.replace(folder.path / "run.json", results.to_json(found).encode())
    desk.dashboard.ended(found)
    assert [run["id"] for run in json.loads(desk.line.shown["runs"])] == ["now"]


def test_problems_are_shown_until_the_next_run(desk):
    desk.dashboard.began(desk.folder())
    desk.dashboard.problem("the mock died")
    desk.dashboard.problem("<b>so did we</b>")
    assert desk.line.now["problems"] == ["the mock died", "<b>so did we</b>"]
    assert desk.watcher.problems == ["the mock died", "<b>so did we</b>"]
    desk.dashboard.began(desk.folder("next"))
    assert desk.line.now["problems"] == []


def test_a_run_that_cannot_begin_shows_why_and_nothing_of_the_one_before(desk):
    desk.play(desk.folder())
    desk.dashboard.refused("runs cannot be written: No space left on device.")
    now = desk.line.now
    assert now["state"] == "refused"
    assert now["problems"] == ["runs cannot be written: No space left on device."]
    assert now["sections"] == {}
    assert "stage" not in now
    assert json.loads(desk.line.shown["rows"]) == []
    assert desk.watcher.problems == now["problems"]
    desk.play(desk.folder("next"))
    assert desk.line.now["problems"] == []


# Changes of the upstream.


@pytest.mark.processes
def test_a_change_by_a_page_is_in_the_files_of_the_run_and_on_the_page(tmp_path):
    with client.running("1ms") as mock:
        desk = Desk(tmp_path, RunningMock(mock.url, mock.control, mock.pid))
        profile = mock.profile()
        desk.upstream.begin(profile)
        folder = desk.folder()
        desk.dashboard.began(folder)
        assert desk.ask("upstream", latency="5ms") is None
        assert desk.line.now["upstream"]["latency"] == "5ms"
        assert desk.line.now["upstream"]["planned"] is False
        assert desk.ask("restore") is None
        assert desk.line.now["upstream"]["planned"] is True
        folder.end("complete")
        desk.dashboard.ended(runs.run_of(folder.record))
        written = records.read(folder.path).changes
        assert [one.text for one in written] == ["latency 1ms → 5ms", "latency 5ms → 1ms"]
        assert [one.profile is None for one in written] == [False, True]
        # Between two runs there is no file that it could stand in.
        assert desk.ask("upstream", latency="7ms") is None
        assert records.read(folder.path).changes == folder.record.changes == written
        desk.upstream.end()


def test_a_failed_end_of_an_outage_is_shown_and_not_recorded(desk):
    folder = desk.folder()
    desk.dashboard.began(folder)
    before = len(desk.line.sent)
    desk.upstream.changed(None)
    assert len(desk.line.sent) > before
    assert folder.record.changes == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_change_that_finds_the_disk_full_or_the_engine_gone_raises_nothing(desk):
    folder = desk.folder(full=True)
    desk.dashboard.began(folder)
    folder.sample({"at": 1.0})
    change = UpstreamChanged(at=1.0, text="latency 1ms → 2ms", profile={"latency": "2ms"})
    desk.upstream.changed(change)
    assert folder.record.changes == [change]
    desk.line.gone = True
    desk.upstream.changed(change)
    desk.upstream.changed(None)


# An engine that is gone.


def test_an_ended_engine_is_reported_to_waiting_commands_only(desk):
    keep(desk.out, "a")
    desk.ask("over", run="a")
    desk.line.gone = True
    folder = desk.folder()
    desk.dashboard.open()
    desk.dashboard.began(folder)
    desk.dashboard.begins(Step("slow", 1), 1, 6, 12.0)
    desk.dashboard.measured(example_runs.single_level().points[0])
    desk.dashboard.problem("the load generator is gone")
    desk.dashboard.ended(runs.run_of(folder.record))
    desk.dashboard.refused("nothing works")
    assert desk.watcher.problems == ["the load generator is gone", "nothing works"]
    with pytest.raises(EngineFailed):
        desk.dashboard.send(Finish())
    with pytest.raises(EngineFailed):
        desk.dashboard.receive(1)


def test_an_engine_that_ends_during_a_command_fails_that_command(desk):
    desk.line.coming.append(PageCommand(number=1, what="runs"))
    send, desk.line.send = desk.line.send, lambda message: setattr(desk.line, "gone", True)
    with pytest.raises(EngineFailed):
        desk.dashboard.receive(1)
    desk.line.send = send
