"""
The values of a plan that can be replaced for one run: one table for every way to do that.

The command lines of brownout and Locust, and Locust's web form, read it. `--help` reads it, too, so
nothing is imported here.
"""

from typing import NamedTuple


class Override(NamedTuple):
    """`help` has no per cent sign: argparse would take it for a placeholder."""

    metavar: str
    help: str


TABLE = {
    "upstream": Override(
        "LATENCY",
        "Latency of the upstream, or values of its profile: "
        'latency = "200ms", capacity = {servers = 10}. Values that are not named stay.',
    ),
    "model": Override(
        "closed|open", "closed: levels are users; open: levels are requests per second."
    ),
    "arrivals": Override("poisson|even", "Open model: requests arrive at random, or evenly."),
    "levels": Override("1,5,10", "Levels: users, or requests per second in the open model."),
    "settle": Override("2s", "Time before each measurement."),
    "measure": Override("5s", "Fixed length of each measurement."),
    "think_time": Override("500ms", "Pause of each user between an answer and the next request."),
    "repeats": Override("N", "Repeat each level N times."),
    "slos": Override(
        '"p95 < 250ms at 40"',
        "SLOs, separated by semicolons, or none: p95 < 250ms at 40; errors < 0.01",
    ),
}
