"""The version of the installed package, which the mock shares with the harness."""

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version as `--version` prints it; says so where the sources run without installation."""
    try:
        return version("brownout")
    except PackageNotFoundError:
        return "of unknown version: it is not installed as a package"
