"""Cores that are threads of one physical core (SMT), where they do different work in a run."""

from collections.abc import Mapping
from typing import Any

ROLES = {"generator": "the load generator", "mock": "the mock upstream", "apps": "the deployments"}


def shared(environment: Mapping[str, Any]) -> list[str]:
    """
    Return a sentence for each physical core whose threads have different work.

    Args:
        environment: of a run, with `cores_used` and `siblings`, which older versions do not have.
    """
    used = environment.get("cores_used")
    groups = environment.get("siblings")
    if not isinstance(used, dict) or not used.get("pinned") or not isinstance(groups, list):
        return []
    found = []
    for threads in groups:
        work: dict[int, list[str]] = {}
        for role, called in ROLES.items():
            for core in _cores(used.get(role)) & _cores(threads):
                work.setdefault(core, []).append(called)
        if len({tuple(roles) for roles in work.values()}) > 1:
            parts = [f"{' and '.join(roles)} on {core}" for core, roles in sorted(work.items())]
            numbers = " and ".join(map(str, sorted(work)))
            found.append(
                f"Cores {numbers} are threads of one physical core (SMT), so what runs on one of "
                f"them slows the other: {', '.join(parts)}."
            )
    return found


def _cores(value: Any) -> set[int]:
    return {core for core in value if isinstance(core, int)} if isinstance(value, list) else set()
