"""What is played is a function of the time alone, and all of it is checked before."""

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mock_upstream.profiles.compiled_timeline import CompiledTimeline, State, TimelineError
from mock_upstream.profiles.paths import put
from mock_upstream.profiles.profile import Profile, describe
from mock_upstream.profiles.timeline import Timeline

BASE = Profile.model_validate(
    {
        "latency": "10ms",
        "errors": {503: 0.1},
        "routes": [{"path": "/charge/{id}", "method": "POST"}, {"path": "/v1.0/x"}],
    }
)


def build(values: dict[str, Any]) -> Profile:
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ValueError(describe(error, values)) from None


def schedule(
    *phases: dict[str, Any], base: Profile = BASE, **more: Any
) -> CompiledTimeline[Profile]:
    timeline = Timeline.model_validate({"phases": phases, **more})
    return CompiledTimeline(timeline, base.model_dump(mode="json", by_alias=True), build, base)


def moving(change: Any, place: str = "latency_factor", **more: Any) -> CompiledTimeline[Profile]:
    return schedule({"name": "moving", "for": "10s", "changes": {place: change}, **more})


def factors(of: CompiledTimeline[Profile], *times: float) -> list[float]:
    return [of.at(time).factor for time in times]


def refused(*phases: dict[str, Any], **more: Any) -> str:
    try:
        schedule(*phases, **more)
    except ValidationError as error:
        return describe(error, {"phases": list(phases), **more})
    except TimelineError as error:
        return str(error)
    raise AssertionError("it was taken")


def test_phases_follow_each_other_and_end_where_the_next_begins() -> None:
    plan = schedule(
        {"name": "calm", "at": "5s", "for": "10s"},
        {"name": "steep", "for": "2s", "changes": {"latency": "1s"}},
        {"name": "late", "at": "20s"},
        {"name": "last", "at": "30s", "for": "1s"},
    )
    times = [None, -1.0, 0.0, 4.999, 5.0, 14.999, 15.0, 16.999, 17.0, 20.0, 29.9, 30.0, 31.0, 1e9]
    names = [plan.at(time).phase for time in times]
    calm = ["before"] * 4 + ["calm"] * 2
    assert names == [*calm, "steep", "steep", "between", "late", "late", "last", "after", "after"]
    assert str(plan.at(16).played.latency) == "1s"
    assert plan.at(14).played is plan.at(18).played is plan.at(40).played is BASE


def test_a_repeated_timeline_restarts() -> None:
    phases = [{"name": "a", "for": "1s"}, {"name": "b", "for": "2s"}]
    plan = schedule(*phases, repeat=True)
    assert [plan.at(time).phase for time in (0, 1, 2.9, 3, 4, 3000.5, 3001.5)] == list("abbabab")


def test_a_ramp_goes_straight_and_ends_a_step_from_where_it_leads() -> None:
    plan = moving({"ramp": [1, 11]})
    assert factors(plan, 0, 5, 9.999) == pytest.approx([1.05, 6.05, 10.95])
    assert plan.at(10).factor == 1  # a change holds during its phase alone


@pytest.mark.parametrize(
    ("shape", "quarters"),
    [
        ("sine", [0, 1, 2, 1]),
        ("triangle", [0, 1, 2, 1]),
        ("saw", [0, 0.5, 1, 1.5]),
        ("square", [0, 0, 2, 2]),
    ],
)
def test_waves_have_their_shapes_and_repeat(shape: str, quarters: list[float]) -> None:
    plan = moving({shape: [0, 2], "period": "4s"})
    assert factors(plan, 0, 1, 2, 3) == pytest.approx(quarters, abs=0.2)
    assert factors(plan, 0.5, 1.5, 2.5, 3.5) == factors(plan, 4.5, 5.5, 6.5, 7.5)


@given(
    st.sampled_from(["ramp", "sine", "triangle", "saw", "square"]),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 9.999),
    st.integers(1, 20_000),
)
def test_a_motion_stays_between_its_ends(
    shape: str, first: float, second: float, time: float, period: int
) -> None:
    wave = {} if shape == "ramp" else {"period": f"{period}ms"}
    (factor,) = factors(moving({shape: [first, second], **wave}), time)
    margin = 1e-9 * (first + second)
    assert min(first, second) - margin <= factor <= max(first, second) + margin


@given(st.lists(st.floats(0, 40), min_size=1, max_size=20))
def test_the_state_depends_on_the_time_alone(times: list[float]) -> None:
    phases: list[dict[str, Any]] = [
        {"name": "a", "for": "7s", "changes": {"errors.500": {"saw": [0, 0.5], "period": "3s"}}},
        {"name": "b", "for": "5s", "brownout": {"factor": {"ramp": [1, 9]}, "refused": 0.2}},
    ]
    one, other = (schedule(*phases, repeat=True) for _ in range(2))

    def seen(plan: CompiledTimeline[Profile], time: float) -> tuple[Any, ...]:
        state = plan.at(time)
        return state.phase, state.factor, state.refused, state.played

    forwards = {time: seen(one, time) for time in times}
    assert forwards == {time: seen(other, time) for time in reversed(times)}


def test_several_waves_keep_their_own_periods() -> None:
    changes = {
        "latency_factor": {"square": [1, 2], "period": "1s"},
        "errors.503": {"square": [0, 0.5], "period": "3s"},
    }
    plan = schedule({"name": "tides", "changes": changes})
    for time in (0.2, 0.7, 1.2, 1.7, 2.2, 2.7, 100.2, 3601.7):
        state = plan.at(time)
        assert state.factor == (1 if time % 1 < 0.5 else 2)
        assert state.played.errors == {503: 0 if time % 3 < 1.5 else 0.5}


def test_the_same_changes_are_the_same_object() -> None:
    plan = moving({"triangle": [0, 0.4], "period": "2s"}, "errors.503")
    assert plan.at(0.31).played is plan.at(2.31).played is plan.at(1.69).played
    assert plan.at(0.31).played != plan.at(0.8).played


def test_numbers_in_texts_move_and_counts_stay_whole() -> None:
    texts = moving({"ramp": ["p50=10ms p95=20ms", "p50=20ms p95=120ms"]}, "latency")
    assert str(texts.at(5).played.latency) == "p50=15.05ms p95=70.5ms"
    counts = moving({"ramp": [200, 210]}, "routes.0.status")
    assert {counts.at(tenth / 10).played.routes[0].status for tenth in range(100)} == {
        *range(200, 211)
    }
    shares = moving({"ramp": [0, 1]}, "errors.503")
    assert shares.at(5).played.errors[503] == pytest.approx(0.505)


def test_a_route_is_named_by_number_or_by_method_and_path() -> None:
    for place in ("routes.0.latency", "routes.POST /charge/{id}.latency"):
        assert str(moving("7ms", place).at(1).played.routes[0].latency) == "7ms"
    assert str(moving("7ms", "routes.ANY /v1.0/x.latency").at(1).played.routes[1].latency) == "7ms"


def test_a_missing_path_is_created_and_nothing_else_changes() -> None:
    values = {"a": {"b": 1}, "c": None, "d": [{"e": 1}]}
    assert put(values, "a.b", 2) == {**values, "a": {"b": 2}}
    assert put(values, "c.x.y", 3) == {**values, "c": {"x": {"y": 3}}}
    assert put(values, "d.0.e", 4) == {**values, "d": [{"e": 4}]}
    assert values == {"a": {"b": 1}, "c": None, "d": [{"e": 1}]}


def test_outages_and_brownouts_refuse_requests_at_once() -> None:
    plan = schedule(
        {"name": "down", "for": "1s", "outage": "reset"},
        {"name": "busy", "for": "1s", "outage": 429},
        {
            "name": "brown",
            "for": "1s",
            "brownout": {"factor": 20, "refused": {"ramp": [0, 1]}, "status": 500},
        },
    )

    def refusal(state: State[Profile]) -> tuple[object, float, float]:
        return state.outage, state.refused, state.factor

    assert refusal(plan.at(0.5)) == ("reset", 1, 1)
    assert refusal(plan.at(1.5)) == (429, 1, 1)
    assert refusal(plan.at(2.5)) == (500, pytest.approx(0.505), 20)
    assert refusal(plan.at(3.5)) == (None, 0, 1)


def test_a_timeline_reads_back_what_it_writes() -> None:
    phases = [
        {"name": "a", "for": "2s", "changes": {"errors": {"503": 0.5}, "latency": "5ms"}},
        {"name": "b", "for": "2s", "changes": {"errors.503": {"ramp": [0, 0.2]}}},
        {"name": "c", "brownout": {"refused": {"sine": [0, 1], "period": "1500ms"}}},
    ]
    timeline = Timeline.model_validate({"start": "serve", "phases": phases})
    assert Timeline.model_validate(timeline.model_dump(mode="json")) == timeline
    assert timeline.model_dump(mode="json")["phases"][1]["changes"] == phases[1]["changes"]
    assert Timeline.model_validate_json(timeline.model_dump_json()) == timeline


WAVE = {"sine": [1, 2], "period": "1s"}


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ([], "a timeline needs a phase"),
        ([{"name": "a"}, {"name": "b"}], "phase 'a' has no end: give it 'for', or the next"),
        ([{"name": "a", "for": "1s"}, {"name": "a"}], "phase 'a' is there twice"),
        ([{"name": "a", "for": "5s"}, {"name": "b", "at": "3s"}], "'b' begins at 3s, before 'a'"),
        ([{"name": "after"}], "'after' names the time outside of all phases"),
        ([{"name": "a", "for": "0s"}], "phases.0.for: a duration above 0 is needed"),
        ([{"name": "a", "for": "9us"}], "phase 'a' lasts less than a millisecond"),
        ([{"name": "a", "for": "2h"}], "unknown unit 'h'"),
        ([{"name": "a", "outage": 200}], "phases.0.outage"),
        ([{"name": "a", "outage": 503, "brownout": {}}], "an outage leaves nothing"),
        (
            [{"name": "a", "brownout": {"refused": 1.5}}],
            "brownout.refused: 1.5 is not a number from",
        ),
        ([{"name": "a", "changes": {"seed": 2}}], "seed holds for the whole of a run"),
        ([{"name": "a", "changes": {"latncy": "5ms"}}], "phase 'a': latncy: there is no such key"),
        ([{"name": "a", "changes": {"latency": "5"}}], "phase 'a': latency: '5' has no unit"),
        ([{"name": "a", "changes": {"latency.p50": 1}}], "'10ms' is not a table"),
        ([{"name": "a", "changes": {"errors..x": 1}}], "is not a dotted path"),
        ([{"name": "a", "changes": {"routes.7.status": 1}}], "no '7.status' among its 2 elements"),
        (
            [{"name": "a", "changes": {"latency_factor": -1}}],
            "-1 is not a number from 0 to 1000000",
        ),
        ([{"name": "a", "changes": {"latency_factor": inf}}], "is not a number from 0 to 1000000"),
        ([{"name": "a", "changes": {"latency_factor": 10**400}}], "is not a number from 0"),
        ([{"name": "a", "changes": {"x": {"ramp": [1, 2]}}}], "'a' never ends, so x cannot ramp"),
        ([{"name": "a", "changes": {"x": {"sine": [1, 2]}}}], "a wave needs its period"),
        ([{"name": "a", "changes": {"x": {**WAVE, "saw": [1, 2]}}}], "is needed, not 2"),
        ([{"name": "a", "changes": {"x": {**WAVE, "sine": ["1ms", "2s"]}}}], "nothing between"),
        ([{"name": "a", "changes": {"x": {**WAVE, "sine": [True, 2]}}}], "nothing between True"),
        ([{"name": "a", "changes": {"x": {**WAVE, "sine": [1, 10**400]}}}], "nothing between 1 an"),
        ([{"name": "a", "changes": {"x": {**WAVE, "period": "1us"}}}], "is below a millisecond"),
    ],
)
def test_an_invalid_value_is_refused_with_its_place(phases: Any, message: str) -> None:
    assert message in refused(*phases)


def test_a_value_that_is_invalid_at_any_time_is_refused_at_the_start() -> None:
    change = {"errors.503": {"ramp": [0, 1.5]}}
    assert "503 = 1.0125 is" in refused({"name": "a", "for": "1s", "changes": change})
    both = {"errors.503": {**WAVE, "sine": [0, 0.6]}, "errors.500": {**WAVE, "sine": [0, 0.6]}}
    assert "the probabilities add up to" in refused({"name": "a", "changes": both})
    apart = {"errors.503": {**WAVE, "sine": [0, 0.6]}, "errors.500": {**WAVE, "sine": [0.6, 0]}}
    schedule({"name": "a", "changes": apart})


def too_many_steps() -> list[dict[str, Any]]:
    waves = {
        "latency_factor": {"sine": [1, 2], "period": "997ms"},
        "errors.503": {"sine": [0, 0.1], "period": "991ms"},
    }
    return [{"name": "beats", "changes": waves}]


def too_many_profiles() -> list[dict[str, Any]]:
    ramp = {"errors.503": {"ramp": [0, 0.1]}, "errors.500": {"ramp": [0, 0.1]}}
    return [
        {"name": str(n), "for": "10s", "changes": {**ramp, "latency": f"{n}ms"}} for n in range(50)
    ]


@pytest.mark.parametrize("phases", [too_many_steps(), too_many_profiles()])
def test_an_oversized_timeline_is_refused_quickly(phases: list[dict[str, Any]]) -> None:
    assert "the timeline makes more than" in refused(*phases)


def test_a_large_profile_may_change_less_often_than_a_small_one() -> None:
    routes = [{"path": f"/{n}", "json": "x" * 1000} for n in range(200)]
    large = Profile.model_validate({"routes": routes})
    ramp = {"name": "a", "for": "60s", "changes": {"errors.503": {"ramp": [0, 1]}}}
    assert "let fewer values move" in refused(ramp, base=large)
    schedule({**ramp, "changes": {"errors.503": 1}}, base=large)


def without_a_common_period(**span: str) -> list[dict[str, Any]]:
    periods = (1_000_000_007 + 2 * n for n in range(90))  # microseconds
    waves = {f"x{n}": {"sine": [1, 2], "period": f"{us}us"} for n, us in enumerate(periods)}
    return [{"name": "waves", "changes": waves, **span}]


def test_waves_without_a_common_period_are_refused() -> None:
    assert "more than 20000 steps" in refused(*without_a_common_period())
    assert "x0: there is no such key" in refused(*without_a_common_period(**{"for": "60m"}))


def test_expensive_profiles_have_longer_steps() -> None:
    def mixture(shape: int) -> str:
        return " + ".join(f"0.1*gamma(mean=1ms,shape={shape}.{n})" for n in range(1, 16))

    phases = [
        {"name": str(n), "for": "60s", "changes": {"latency": {"ramp": [mixture(1), mixture(n)]}}}
        for n in range(2, 21)
    ]
    assert "let fewer values move" in refused(*phases)
    schedule(*phases[:5])
