"""The band in which throughput lies between no queueing and all of it in one server.

Above it are the two asymptotes N / (R_0 + Z) and X_max, which cross at the knee. Below it is the
same system with all of its queueing in one exponential server (mean value analysis: Reiser and
Lavenberg 1980; in Schweitzer's approximation).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtests.analysis.light_scipy import special

DEVIATIONS = float(special.ndtri(0.975))  # in half an interval

_INSIDE = DEVIATIONS**2  # of twice the log likelihood that a 95 % interval gives away
_HALVINGS = 24  # of the range of a cycle, to a millionth
_COARSE, _FINE = 200, 300  # knees that are tried

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Band:
    """Measured levels, and how far they lie outside of the band of each knee that is possible."""

    users: Numbers
    rates: Numbers  # logarithms
    slack: Numbers  # by which each can be higher
    errors: Numbers
    unbound: NDArray[np.bool_]

    def region(
        self,
    ) -> tuple[tuple[float | None, float | None], float, tuple[float | None, float]]:
        """The bounds of the knee, the one that fits best, and the bounds of the cycle."""
        top = float(self.users[-1])
        knees = np.geomspace(1.0, 8 * top, _COARSE)
        misfits, _ = self._best(knees)
        inside = misfits <= self._allowed(misfits)
        first, last = (int(index) for index in np.flatnonzero(inside)[[0, -1]])
        at_start, at_end = first == 0, last >= np.searchsorted(knees, top)
        step = knees[1] / knees[0]
        fine = np.geomspace(max(knees[first] / step, 1.0), min(knees[last], top) * step, _FINE)
        misfits, places = self._best(fine)
        allowed = self._allowed(misfits)
        best = float(np.median(fine[misfits <= misfits.min() * (1 + 1e-6) + 1e-9]))
        within = np.flatnonzero(misfits <= allowed)
        fine, places = fine[within], places[within]
        slowest, fastest = self._ends(fine, places, allowed)
        alone = self.users[0] <= 1
        low, high = float(fine[0]), float(fine[-1])
        known = alone or not at_start
        return (
            (low if known else None, None if at_end else high),
            best,
            (math.exp(-fastest) if known else None, math.exp(-slowest)),
        )

    def _allowed(self, misfits: Numbers) -> float:
        """The largest misfit inside; with the Birge ratio where even the best knee fits badly."""
        least = float(misfits.min())
        return least + _INSIDE * max(least / max(len(self.users) - 2, 1), 1.0)

    def _edges(self, knees: Numbers) -> tuple[Numbers, Numbers]:
        """
        Logarithms of the least and the most throughput, for each knee and level; in 1 / cycle.

        With one server of demand D = 1 / N* in a cycle of 1, Q requests are with it: Q = X D (1 +
        Q (N - 1) / N) and N = X (1 - D) + Q, which is a quadratic equation.
        """
        knee = knees[:, None]
        most = np.minimum(self.users, knee)
        demand = np.minimum(1 / knee, 1 - 1e-9)
        load = demand / (1 - demand)
        seen = (self.users - 1) / self.users
        linear = 1 + load - seen * load * self.users
        square = np.sqrt(linear**2 + 4 * seen * load**2 * self.users)
        # The positive root, in the form that does not cancel out.
        queue = np.where(
            linear > 0,
            2 * load * self.users / (linear + square),
            (square - linear) / np.maximum(2 * seen * load, 1e-300),
        )
        least = np.minimum((self.users - queue) / (1 - demand), most)
        least = np.where(self.unbound & (self.users > knee), 1e-12, least)
        return np.log(np.maximum(least, 1e-12)), np.log(most)

    def _misfit(self, low: Numbers, high: Numbers, places: Numbers) -> tuple[Numbers, Numbers]:
        """Squared distances from the band, and their derivative, at log(1 / cycle)."""
        above = np.maximum(self.rates - places[:, None] - high, 0.0)
        below = np.maximum(places[:, None] + low - self.rates - self.slack, 0.0)
        weights = 1 / self.errors**2
        return (above**2 + below**2) @ weights, (below - above) @ weights

    def _best(self, knees: Numbers) -> tuple[Numbers, Numbers]:
        """The least misfit over all cycles for each knee, and the cycle where it is."""
        low, high = self._edges(knees)
        left = (self.rates - high).min(axis=1) - 1
        right = (self.rates + self.slack - high).max(axis=1) + 1
        for _ in range(_HALVINGS):
            places = (left + right) / 2
            rising = self._misfit(low, high, places)[1] >= 0
            right = np.where(rising, places, right)
            left = np.where(rising, left, places)
        places = (left + right) / 2
        return self._misfit(low, high, places)[0], places

    def _ends(self, knees: Numbers, places: Numbers, allowed: float) -> tuple[float, float]:
        """The least and the largest log(1 / cycle) that are allowed for one of the knees."""
        low, high = self._edges(knees)
        ends = []
        for side in (-1.0, 1.0):
            near, far = places, places + side * 3.0
            for _ in range(_HALVINGS):
                middle = (near + far) / 2
                good = self._misfit(low, high, middle)[0] <= allowed
                near, far = np.where(good, middle, near), np.where(good, far, middle)
            ends.append(near)
        return float(ends[0].min()), float(ends[1].max())
