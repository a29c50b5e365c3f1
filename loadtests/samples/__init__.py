"""What host, processes, services and mock did, once a second, from a thread of its own."""

from loadtests.samples.sampler import (
    Sampler,
)

__all__ = [
    "Sampler",
]
