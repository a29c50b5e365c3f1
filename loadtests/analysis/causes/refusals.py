"""Whether the service itself turns requests away: a rate limit, or a limit of concurrency."""

from collections.abc import Mapping

from loadtests.analysis.causes.case import Case, Found
from loadtests.analysis.numbers import percent, rounded
from loadtests.results import Errors

REFUSING = 0.05  # of the requests, beyond those at the lowest level
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
    usual = 0.0 if case.low is now else _share(case.low.point.errors, case.low.point.requests)
    share = _share(point.errors, point.requests)
    if share - usual < REFUSING:
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


def _share(errors: Errors, requests: int) -> float:
    return sum(_refused(errors).values()) / requests if requests else 0.0
