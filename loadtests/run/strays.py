"""Requests that reach the upstream and that no route of its profile matches."""

from collections import Counter
from typing import Any

_MOST = 3  # of those that are named


class Strays:
    """Counts them over a run, by what the mock's ledger says at its beginning and at its end."""

    def __init__(self, account: Any) -> None:
        """
        Args:
            account: the ledger as the run begins; None where it cannot be read.
        """
        self._before = _read(account)

    def problem(self, account: Any) -> str | None:
        """What is to be said of them, by the ledger as the run ends; None: there were none."""
        before, now = self._before, _read(account)
        if now is None:
            return None
        (which, elapsed, count) = before or ("", 0.0, 0)
        if now[0] != which:  # it was reset or started again: it has counted from zero since
            elapsed, count = 0.0, 0
        strays = now[2] - count
        if strays <= 0:
            return None
        recent = Counter(
            f"{one['method']} {one['path']}"
            for one in account.get("recent_unmatched", ())
            if one["at"] >= elapsed
        )
        named = ", ".join(name for name, _ in recent.most_common(_MOST))
        requests = "a request" if strays == 1 else f"{strays:,} requests"
        them = "it" if strays == 1 else "them"
        return (
            f"The upstream got {requests} that no route of its profile matches, and answered "
            f"{them} 404{f': {named}' if named else ''}{' ...' if len(recent) > _MOST else ''}."
        )


def _read(account: Any) -> tuple[str, float, int] | None:
    """Which counts these are, their age in seconds, and how many requests had no route."""
    try:
        which = f"{account['epoch']}/{account['generation']}"
        return which, float(account["elapsed"]), int(account["unmatched"])
    except (KeyError, TypeError, ValueError):
        return None
