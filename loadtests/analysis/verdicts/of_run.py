"""The record of a comparison -> its verdict, and where the distribution moved."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from loadtests.analysis.inputs.records import Record, StageRecord
from loadtests.analysis.stats.sequential import half_width
from loadtests.analysis.verdicts import block_length
from loadtests.analysis.verdicts.blocks import block, slow_quantile, times
from loadtests.analysis.verdicts.config import FIRST, ComparisonConfig
from loadtests.analysis.verdicts.interleaved import INTERVAL, rounds_of, verdict
from loadtests.results import Estimate, Shift, Verdict

DECILES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def of_record(record: Record, samples: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """
    Empty when nothing was compared.

    Args:
        samples: with their ledgers read.

    Raises:
        ValueError: the comparison in the header is not one.
    """
    if record.header.comparison is None:
        return []
    terms = ComparisonConfig.model_validate(record.header.comparison)
    blocks = [block(one, samples) for one in record.stages]
    found = verdict(blocks, terms, record.dead)
    rounds = rounds_of(record.stages, terms, block_length.trials(blocks))
    return [found.model_copy(update={"shift": [*_shift(rounds, terms)]})]


def _shift(rounds: Sequence[Sequence[StageRecord]], terms: ComparisonConfig) -> Iterator[Shift]:
    """
    The shift function: B over A, quantile by quantile, at the level that decides (Doksum, Empirical
    probability plots and statistical inference for nonlinear models, Annals of Statistics 1974).
    Each interval stands for itself.
    """
    sides = [
        {
            name: times(
                one
                for one in part
                if (one.stage.deployment, one.stage.level) == (name, terms.at[0])
            )
            for name in (terms.a, terms.b)
        }
        for part in rounds
    ]
    for q in DECILES:
        logs, requests = [], math.inf
        for side in sides:
            a, b = (slow_quantile(*side[name], q) for name in terms.names)
            requests = min(requests, *(times.count + failed for times, failed in side.values()))
            if a and b and math.isfinite(a) and math.isfinite(b):
                logs.append(math.log(b / a))
        if len(logs) < FIRST:
            continue
        # As in `effects`: nothing is known better than to one request.
        mean, half = fmean(logs), half_width(logs, INTERVAL, math.sqrt(2) / max(requests, 1))
        yield Shift(
            q=q,
            ratio=Estimate(
                value=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half)
            ),
        )
