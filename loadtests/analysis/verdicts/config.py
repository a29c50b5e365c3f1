"""The terms of a comparison of two deployments, and how its blocks are laid out in time."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from loadtests.analysis.verdicts.metrics import Metric

FIRST = 4  # rounds before the first look: with fewer, Student's t is wider than any effect
BLOCKS = 8  # of a round, at each level
SETTLE, MEASURE = 0.25, 1.25
"""
Seconds of a block, at least. More, shorter blocks tell more than fewer, longer ones, until
switching costs too much of the time: what goes on on a machine lasts for some seconds.
"""
SWITCHING = 0.15  # seconds between two blocks, as measured
STARTING = 2.0  # seconds that both take to start again, about; only for telling the time

ERRORS = "errors"  # the metric; compared by its difference: there may be none on one side
ALARMS = 0.01  # the chance that two equal deployments are called different
EACH = ALARMS / 2  # of it, for each of the two tests: the metric's, and that of failures
POWER = 0.9  # of the smallest change that is told
LONGEST = 3600.0  # seconds; a comparison that needs more will not be decided
RISE = 0.01
"""
Of all requests. Where fewer fail more than before, that is no regression by itself; where more do,
by chance or not, the two are not called equal.
"""


class ComparisonConfig(BaseModel):
    """
    What is compared: `at` are levels, the first one decides; times in seconds.

    `settle` and `measure` are the length of the first blocks; later ones are longer where the first
    ones were too short, unless the length is `fixed`. `round_seconds` is what a round of the first
    length takes; how many rounds there may be must not follow from the difference that was
    measured.
    """

    model_config = ConfigDict(frozen=True)

    a: str
    b: str
    metric: Metric = "p95"
    at: tuple[int, ...]
    model: Literal["closed", "open"] = "closed"
    margin: float = 0.05
    within: float = 360.0
    round_seconds: float
    seed: int = 0
    restarts: bool = True
    settle: float = SETTLE
    measure: float = MEASURE
    fixed: bool = False

    @property
    def names(self) -> tuple[str, str]:
        return self.a, self.b

    @property
    def total(self) -> int:
        """The rounds that there is time for."""
        return max(int(self.within // self.round_seconds), FIRST)

    @property
    def size(self) -> int:
        """The stages of a round."""
        return BLOCKS * len(self.at)

    def lasting(self, settle: float, measure: float) -> "ComparisonConfig":
        """The configuration with blocks of another length."""
        longer = settle + measure - self.settle - self.measure
        seconds = self.round_seconds + self.size * longer
        return self.model_copy(
            update={"settle": settle, "measure": measure, "round_seconds": seconds}
        )
