"""
The fixture `mock_upstream`: a slow upstream for tests, over a real socket.

    @pytest.mark.mock_upstream(latency="p50=50ms p95=120ms")
    def test_checkout_asks_once_and_never_more_than_20_at_a_time(mock_upstream):
        call_my_service(upstream=mock_upstream.url, times=100)
        assert mock_upstream.ledger().arrivals == 100
        assert mock_upstream.ledger().in_flight.peak <= 20

One process serves all tests of a session (of a worker, where they run in parallel), on ports of
its own; each test finds the profile of its marker, or the default one, and an empty ledger.
"""

from collections.abc import Iterator

import pytest

from mock_upstream.client import Upstream, running

_MARKER = "mock_upstream"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(profile=None, /, **values): what the fixture mock_upstream plays: latency "
        'text, a path or a mapping, and single values such as latency="50ms", errors={503: 0.1}',
    )


@pytest.fixture(scope="session")
def mock_upstream_session() -> Iterator[Upstream]:
    """The mock itself, for what is set up once: a service that is started with its URL."""
    with running() as upstream:
        yield upstream


@pytest.fixture
def mock_upstream(request: pytest.FixtureRequest, mock_upstream_session: Upstream) -> Upstream:
    """The mock with an empty ledger; it plays the marker's profile until `configure` is called."""
    from mock_upstream.profiles.profile import ProfileError

    marker = request.node.get_closest_marker(_MARKER)
    arguments, values = (marker.args, marker.kwargs) if marker else ((), {})
    try:
        mock_upstream_session.configure(*arguments, **values)
    except ProfileError as error:
        pytest.fail(str(error), pytrace=False)
    mock_upstream_session.reset()
    return mock_upstream_session
