"""What TLS to the upstream costs a service."""

import math

from loadtests.claims.experiment import ClaimCase, experiment
from loadtests.claims.measurements import Measurement
from loadtests.results import Estimate

CLIENTS = ("httpx", "httpx2", "aiohttp", "requests")
DEAR = 0.001  # seconds of CPU: about as much as the rest of a request
RECORD = 0.0001  # to encrypt and decrypt a small call
HANDSHAKE = 0.0019  # of a client, TLS 1.3 with a certificate on P-256
AUTHORITIES = 0.021  # to read those of a system again, as requests does for each connection


@experiment(
    claim="TLS to the upstream costs a service much CPU.",
    theory="A handshake takes 2 ms, the records of a small call a tenth of one: so it does "
    "where connections are not kept. requests also reads all authorities again for each "
    "connection, 21 ms.",
    plans=("plain-kept", "tls-kept", "plain-new", "tls-new"),
)
def tls_costs(
    plain_kept: Measurement, tls_kept: Measurement, plain_new: Measurement, tls_new: Measurement
) -> list[ClaimCase]:
    return [
        ClaimCase(
            when=f"with {name} and {connections}",
            what="CPU that TLS adds to a call",
            unit="seconds",
            if_true=DEAR,
            if_false=0.0,
            predicted=predicted + (AUTHORITIES if new and name == "requests" else 0.0),
            measured=_added(plain.cpu_counted(name), secured.cpu_counted(name)),
        )
        for connections, plain, secured, predicted, new in (
            ("a kept connection", plain_kept, tls_kept, RECORD, False),
            ("a new connection for each call", plain_new, tls_new, HANDSHAKE, True),
        )
        for name in CLIENTS
    ]


def _added(plain: Estimate, secured: Estimate) -> Estimate:
    """The difference, and the wider of its halves from those of both."""
    value = secured.value - plain.value
    halves = [
        max((e.high or e.value) - e.value, e.value - (e.low or 0.0)) for e in (plain, secured)
    ]
    half = math.hypot(*halves)
    return Estimate(value=value, low=value - half, high=value + half)
