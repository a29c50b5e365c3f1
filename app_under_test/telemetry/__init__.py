"""Telemetry of a service: the phases of each response, and gauges.

    from brownout import Telemetry
    app = Telemetry(app)

Both name what the process holds and how long its upstream takes: neither may be exposed in
production without authentication.
"""

from .gauges import gauges, install
from .middleware import Telemetry

__all__ = ["Telemetry", "gauges", "install"]
