"""Whether the service itself turns requests away: a rate limit, or a limit of concurrency."""

import math
from collections.abc import Mapping

from loadtests.analysis.causes.case import Case, Found
from loadtests.analysis.numbers import percent, rounded
from loadtests.results import Errors, Point

REFUSING = 0.05  # of the requests, beyond those at the lowest level
_SURE = 3.0  # standard errors
_FEWER = 0.8  # of the part that succeeds: a limit leaves less of a higher load
_KINDS = {
    "429": "429",  # RFC 6585, 4
    "503": "503",  # RFC 9110, 15.6.4
    "HTML page": "an HTML page with a status of success",
}
_PASSED_ON = 0.5  # refused calls for a refused request: then the upstream refuses


def refusals(case: Case) -> Found | None:
    """Requests that are refused by an answer, while the upstream refuses few calls."""
    now = case.now
    point = now.point
    refused = _refused(point.errors)
    share, error = _share(point)
    usual, known = (0.0, 0.0) if case.low is now else _share(case.low.point)
    if share - usual < max(REFUSING, _SURE * math.hypot(error, known)):
        return None
    if case.low is now and _as_many_above(case, share):
        return None
    up = now.upstream
    upstream = ""
    if up is not None:
        calls = up.calls * max(up.failing, up.refused)
        if calls >= _PASSED_ON * sum(refused.values()) / point.seconds:
            return None
        many = f"{rounded(calls, 3)} calls a second" if calls else "none"
        upstream = f", and the upstream refused {many}"
    answer = _KINDS[max(refused, key=lambda one: refused[one])]
    why = f"refused by the service: {percent(share)} of the requests get {answer}{upstream}"
    return Found("refusals", None, why)


def _refused(errors: Errors) -> Mapping[str, int]:
    return {kind: errors.kinds[kind] for kind in _KINDS if kind in errors.kinds}


def _share(point: Point) -> tuple[float, float]:
    """The part of the requests that is refused, and its standard error."""
    if not point.requests:
        return 0.0, 0.0
    share = min(sum(_refused(point.errors).values()) / point.requests, 1.0)
    worth = point.errors.effective or point.requests
    likely = (share * worth + 1) / (worth + 2)  # none of a few does not prove that none will be
    return share, math.sqrt(likely * (1 - likely) / worth)


def _as_many_above(case: Case, share: float) -> bool:
    """Whether no higher level refuses a larger part: then it is no limit of the load."""
    above = [_share(one.point)[0] for one in case.levels if one.level > case.now.level]
    return bool(above) and 1 - max(above) > _FEWER * (1 - share)
