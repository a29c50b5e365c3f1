"""What theory expects of a service behind a slow upstream: Little's law, and what is scarce."""

import math

HEALTHY = 0.003  # seconds that a request without a call takes, by order of magnitude
TLS_CONTEXT = 0.017  # CPU seconds that a new httpx client takes, for http:// as well
THREADS = 40  # that anyio gives a process
TIMEOUT = 2.0  # seconds that `as_printed` waits for itself


def throughput(users: float, held: float, places: float = math.inf, cpu: float = 0.0) -> float:
    """
    Requests a second of the closed model without think time.

    Args:
        held: seconds that a request takes without a queue.
        places: how many requests may be under way at a time: threads, or connections.
        cpu: seconds that each takes of the one core.
    """
    bounds = [users / held, places / held]
    return min([*bounds, 1 / cpu] if cpu else bounds)


def response_time(users: float, held: float, places: float = math.inf, cpu: float = 0.0) -> float:
    """Its mean, by Little's law; seconds."""
    return users / throughput(users, held, places, cpu)


def usl_throughput(users: int, service: float, beta: float) -> float:
    """
    The throughput of an upstream whose service times grow with its busy servers (Gunther, Guerrilla
    Capacity Planning, 2007, ch. 4).
    """
    return users / (service * (1 + beta * users * (users - 1)))
