"""Finds brownout's own packages where a project has others of the same names."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
"""The folder of brownout's packages."""
_NAME = "brownout.telemetry"


def telemetry() -> ModuleType:
    """
    Return brownout's package `app_under_test.telemetry`.

    Where `app_under_test` is a package of the project, the telemetry is loaded from its files under
    another name; it imports its own modules relatively.
    """
    found = find_spec("app_under_test")
    if found is not None and found.origin == str(ROOT / "app_under_test" / "__init__.py"):
        import app_under_test.telemetry

        return app_under_test.telemetry
    if _NAME not in sys.modules:
        folder = ROOT / "app_under_test" / "telemetry"
        spec = spec_from_file_location(
            _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[_NAME] = module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[_NAME]
