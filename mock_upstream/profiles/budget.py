"""How far the mock may miss its profile before it counts as the bottleneck."""

from typing import Annotated

from pydantic import Field

from mock_upstream.units.durations import PositiveDuration
from mock_upstream.units.tables import StrictTable


class Budget(StrictTable):
    """The bounds beyond which the mock is no longer the upstream that its profile describes."""

    late: PositiveDuration = 0.005
    """One answer in a hundred may be later than this, and more as far as chance explains it."""
    lag: PositiveDuration = 0.05
    """Longest that the event loop may be away."""
    cpu: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Of the one core that the process can use."""
