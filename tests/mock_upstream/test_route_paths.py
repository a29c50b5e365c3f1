"""Paths with names are matched as a greedy regular expression would, but in linear time."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mock_upstream.profiles.profile import Profile
from mock_upstream.profiles.route_paths import (
    LONGEST_MATCHED,
    LONGEST_PATH,
    checked_path,
    path_pattern,
)
from mock_upstream.routes import Responders

texts = st.text("a/.", min_size=1, max_size=4)


@st.composite
def routes(draw):
    between = draw(st.lists(texts, max_size=4))
    named = "".join(f"{{n{place}}}{text}" for place, text in enumerate(between))
    return checked_path(
        f"/{draw(st.text('a/.', max_size=3))}{named}" + draw(st.sampled_from(["", "{z}"]))
    )


def greedy(path):
    """The pattern that tries every way, with the same names."""
    pieces = re.split(r"\{(\w+)\}", path)
    return re.compile(
        "".join(f"(?P<{p}>[^/]+)" if n % 2 else re.escape(p) for n, p in enumerate(pieces))
    )


@given(routes(), st.text("a/.", max_size=14).map(lambda text: f"/{text}"))
@example("/{name}.{type}", "/a.tar.gz")
@example("/{a}aa{b}", "/xaaay")
@example("/$/{a}", "/$/x")
def test_a_path_matches_as_a_greedy_expression_does(route, path):
    expected = greedy(route).fullmatch(path)
    values = path_pattern(route).values(path)
    assert values == (expected.groupdict() if expected else None)


@pytest.mark.parametrize(
    ("route", "path"),
    [
        ("/" + "-".join(f"{{n{n}}}" for n in range(200)) + "!", "/" + "-" * (LONGEST_MATCHED - 1)),
        ("/" + "/".join(f"{{n{n}}}a" for n in range(200)) + "!", "/" + "/".join(["a" * 35] * 200)),
        ("/{a}" + "ab" * 400 + "c{b}", "/" + "ab" * (LONGEST_MATCHED // 2 - 1)),
    ],
)
@pytest.mark.timeout(10)  # a pattern that backtracks takes years
def test_a_path_that_nearly_matches_in_many_ways_is_refused_at_once(route, path):
    assert len(route) <= LONGEST_PATH
    assert path_pattern(route).values(path) is None


def test_a_longer_path_matches_no_route_with_names():
    profile = Profile.model_validate({"routes": [{"path": "/b"}, {"path": "/{a}"}]})
    find = Responders(profile).find
    longest = "/" + "x" * (LONGEST_MATCHED - 1)
    assert find("GET", longest)[0].matched
    assert not find("GET", longest + "x")[0].matched
