"""Each module here is one way to write the same service; its file name is its name.

`async_httpx.py` is `async-httpx`. A variant is complete with one function,
`create_app(upstream: str, settings: Settings) -> FastAPI`; only the chosen one is imported.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a plan is checked against the names, which must not cost a framework
    from fastapi import FastAPI

    from app_under_test.settings import Settings


# Read once: `iter_modules` finds nothing, without an error, where no descriptors are left.
_NAMES = sorted(module.name.replace("_", "-") for module in iter_modules(__path__))


def names() -> list[str]:
    return [*_NAMES]


def create_app(variant: str, upstream: str, settings: "Settings") -> "FastAPI":
    """
    The service as `variant` writes it, calling the upstream at the URL `upstream`.

    Raises:
        LookupError: there is no such variant; the message lists those there are.
    """
    if variant not in names():
        raise LookupError(f"no variant {variant!r}; there are: {', '.join(names())}")
    module = import_module(f"{__name__}.{variant.replace('-', '_')}")
    app: FastAPI = module.create_app(upstream, settings)
    return app
