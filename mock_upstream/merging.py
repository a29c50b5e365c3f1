"""A change laid over values, as a JSON merge patch does it (RFC 7396)."""

from typing import Any


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396's MergePatch; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
