"""Functions in the place of others, which cost next to nothing where nothing is traced."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

from .process import PROCESS

_SOURCE = """
def passing{parameters}:
    {count}
    if _noted() is None:
        return _original({arguments})
    return _aside({arguments})
"""
_FEW = 16  # with more, the defaults that are passed on take longer
_COUNT = "_process.counts.calls += 1"


def passing(
    original: Callable[..., Any],
    noted: ContextVar[Any],
    aside: Callable[..., Any],
    *,
    calls: bool = False,
) -> Callable[..., Any]:
    """
    A function that calls `original` where `noted` has no value in the context, and `aside` where it
    has one.

    It is compiled with the parameters of `original`, as long as these are few: to take and pass on
    `*args, **options` takes longer, and this is done several times for each call of each request.

    Args:
        calls: each is a call to an upstream, and is counted.
    """
    parameters = list(signature(original).parameters.values())
    if len(parameters) > _FEW:
        parameters = [Parameter("args", Parameter.VAR_POSITIONAL)]
        parameters.append(Parameter("options", Parameter.VAR_KEYWORD))
    defaults = {f"_default{place}": one.default for place, one in enumerate(parameters)}
    bare = [
        one.replace(
            annotation=Parameter.empty,
            default=one.default if one.default is Parameter.empty else _Name(f"_default{place}"),
        )
        for place, one in enumerate(parameters)
    ]
    source = _SOURCE.format(
        parameters=Signature(bare),
        arguments=", ".join(_PASSED.get(one.kind, "{0}").format(one.name) for one in parameters),
        count=_COUNT if calls else "",
    )
    space = {"_original": original, "_noted": noted.get, "_aside": aside, "_process": PROCESS}
    made: dict[str, Any] = {}
    exec(source, space | defaults, made)
    return wraps(original)(made["passing"])


_PASSED: dict[Any, str] = {
    Parameter.KEYWORD_ONLY: "{0}={0}",
    Parameter.VAR_POSITIONAL: "*{0}",
    Parameter.VAR_KEYWORD: "**{0}",
}


class _Name:
    """A default that is written as a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name
