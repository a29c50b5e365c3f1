"""A change laid over values, as a JSON merge patch does it (RFC 7396)."""

from typing import Any


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the patch that makes `after` of `before`; what is None in it is as if absent."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            if nested := difference(old, value):
                patch[name] = nested
        elif value != old:
            patch[name] = value
    return patch


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
