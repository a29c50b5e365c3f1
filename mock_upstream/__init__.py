"""
A slow upstream that does what it is told, and says what it did.

    import mock_upstream

    with mock_upstream.running("p50=50ms p95=120ms") as upstream:
        ...  # ask upstream.url
        assert upstream.ledger().in_flight.peak <= 20
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mock_upstream.client import Upstream, running

__all__ = ["Upstream", "running"]


def __getattr__(name: str) -> Any:
    """Load what starts a mock when it is asked for: the commands import other modules alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mock_upstream import client

    return getattr(client, name)
