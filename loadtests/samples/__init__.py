"""What host, processes, services and mock did, once a second, from a thread beside the run."""

from loadtests.samples.sampler import (
    Sampler,
)

__all__ = [
    "Sampler",
]
