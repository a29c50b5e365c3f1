"""
The public names of brownout.

    from brownout import Telemetry, mock_upstream

    app = Telemetry(app)  # phases and gauges of a FastAPI or Starlette service

    with mock_upstream("p50=50ms p95=120ms") as upstream:
        ...  # call upstream.url

Nothing is loaded before a name is used. A project can have packages of its own that are called
`loadtests` or `app_under_test`: in its processes nothing here needs these names.
"""

TYPE_CHECKING = False  # `python -m brownout` would import a `typing.py` of the current folder
if TYPE_CHECKING:
    from app_under_test.telemetry import Telemetry
    from mock_upstream import running as mock_upstream

    __version__: str

__all__ = ["Telemetry", "__version__", "mock_upstream"]


def __getattr__(name: str) -> object:
    if name == "Telemetry":
        from brownout.own import telemetry

        return telemetry().Telemetry
    if name == "mock_upstream":
        from mock_upstream import running

        return running
    if name == "__version__":
        from mock_upstream.version import installed_version

        return installed_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
