"""
A slow upstream that does what it is told, and says what it did.

    import mock_upstream

    with mock_upstream.running("p50=50ms p95=120ms") as upstream:
        ...  # ask upstream.url
        assert upstream.ledger().in_flight.peak <= 20
"""

from mock_upstream.embedding import Upstream, running

__all__ = ["Upstream", "running"]
