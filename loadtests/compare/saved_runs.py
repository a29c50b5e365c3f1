"""Two saved runs side by side: ratios with intervals, verdicts, and what makes them unlike."""

from collections.abc import Sequence

from loadtests.analysis.stats.ratios import of_points
from loadtests.analysis.verdicts import stored
from loadtests.analysis.verdicts.stored import MARGIN
from loadtests.compare.differences import differences
from loadtests.exit_codes import Failure
from loadtests.results import Estimate, Knee, Point, Result, Run, Verdict

METRICS = stored.METRICS
_WAY_OUT = (
    "Measure both in the same way on the same machine; best at once and in turns, with "
    "`brownout compare` and two deployments, commands or URLs. With --anyway they are compared as "
    "they are."
)


class LevelRatios(Result):
    """
    B over A at one level, all requests together, by metric (see METRICS).

    A ratio is null when one of the two was not measured, or not validly; `problems` says why.
    """

    level: int
    ratios: dict[str, Estimate | None]
    problems: list[str]


class Pair(Result):
    """
    A deployment of both runs, or the only one of each; `a` and `b` are their names.

    The quantiles of `levels` are of successes. The verdict's count a failure as infinitely slow.
    """

    a: str
    b: str
    levels: list[LevelRatios]
    knee_a: Knee | None = None
    knee_b: Knee | None = None
    verdict: Verdict


class Comparison(Result):
    """
    Two runs and their pairs. `differences`: in what they are unlike beyond the service, in words.
    `alone_a`, `alone_b`: deployments without a counterpart.
    """

    a: Run
    b: Run
    pairs: list[Pair]
    alone_a: list[str]
    alone_b: list[str]
    differences: list[str]

    @property
    def verdicts(self) -> list[Verdict]:
        return [pair.verdict for pair in self.pairs]


class NotComparable(Failure):
    """Two runs that are not to be compared; the message says why and the way out."""


def compare(a: Run, b: Run, level: int | None = None, margin: float = MARGIN) -> Comparison:
    """
    What each deployment did in B as a ratio to what it did in A, level by level, and a verdict.

    Args:
        level, margin: of the verdicts; see analysis.stored.
    """
    in_a, in_b = a.names, b.names
    pairs = paired(in_a, in_b)
    paired_a, paired_b = {one for one, _ in pairs}, {other for _, other in pairs}
    found = differences(a, b)
    doubts = unlike(found)
    return Comparison(
        a=a,
        b=b,
        pairs=[_pair(a, b, pair, level, margin, doubts) for pair in pairs],
        alone_a=[name for name in in_a if name not in paired_a],
        alone_b=[name for name in in_b if name not in paired_b],
        differences=found,
    )


def unlike(differences: Sequence[str]) -> list[str]:
    """The differences as problems of a verdict."""
    return [f"not alike: {difference}" for difference in differences]


def check(found: Comparison, anyway: bool = False, level: int | None = None) -> None:
    """
    Refuse what would tell nothing, or something else than is asked.

    Args:
        anyway: the two may be unlike, or one and the same.
        level: that is to decide.

    Raises:
        NotComparable: a run is empty, nothing is in both, or they are not to be compared.
    """
    a, b = found.a, found.b
    for side, run in (("A", a), ("B", b)):
        if not run.points:
            raise NotComparable(f"Run {side}, {run.id or run.name}, holds no measurement at all.")
    check_common(a.names, b.names)
    if a.points == b.points and not anyway:
        raise NotComparable(
            f"A and B are one and the same run, {a.id}: every ratio would be 1. Give two runs; "
            "with --anyway it is compared with itself."
        )
    levels = {one.level for pair in found.pairs for one in pair.levels}
    if level is not None and level not in levels:
        there = ", ".join(map(str, sorted(levels))) or "none"
        raise NotComparable(f"{level} is not among the levels that both runs measured: {there}.")
    check_alike(found.differences, anyway)


def check_common(in_a: Sequence[str], in_b: Sequence[str]) -> None:
    """Raises NotComparable when no deployment of A has a counterpart in B."""
    if not paired(in_a, in_b):
        names = [", ".join(side) or "none" for side in (in_a, in_b)]
        raise NotComparable(
            f"No deployment is in both: A has {names[0]}; B has {names[1]}. Give them the same "
            "name, or one deployment each."
        )


def check_alike(differences: Sequence[str], anyway: bool) -> None:
    """Raises NotComparable when there are differences and nobody said `anyway`."""
    if differences and not anyway:
        told = "\n".join(f"  {difference}" for difference in differences)
        own = any(difference.startswith("version:") for difference in differences)
        versions = " The versions are those of brownout's own environment." if own else ""
        raise NotComparable(
            "The two runs are not alike, so that a change may come from this as well as from the "
            f"service (A is the baseline):\n{told}\n{_WAY_OUT}{versions}"
        )


def paired(in_a: Sequence[str], in_b: Sequence[str]) -> list[tuple[str, str]]:
    """Deployments of the same name, or the only one of each side."""
    if len(in_a) == len(in_b) == 1:
        return [(in_a[0], in_b[0])]
    return [(name, name) for name in in_a if name in in_b]


def _pair(
    a: Run,
    b: Run,
    names: tuple[str, str],
    level: int | None,
    margin: float,
    doubts: Sequence[str],
) -> Pair:
    one, other = names
    found = stored.verdict(names, a.of(one), b.of(other), level, margin)
    found = found.model_copy(update={"problems": [*found.problems, *doubts]})
    points_a = {point.level: point for point in a.of(one)}
    points_b = {point.level: point for point in b.of(other)}
    return Pair(
        a=one,
        b=other,
        levels=[
            _ratios(points_a[level], points_b[level]) for level in points_a if level in points_b
        ],
        knee_a=a.knees.get(one),
        knee_b=b.knees.get(other),
        verdict=found,
    )


def _ratios(a: Point, b: Point) -> LevelRatios:
    invalid = [
        f"{name} is not valid: {'; '.join(point.problems)}"
        for name, point in (("A", a), ("B", b))
        if not point.valid
    ]
    ratios = {metric: None if invalid else of_points(a, b, metric) for metric in METRICS}
    return LevelRatios(level=a.level, ratios=ratios, problems=invalid)
