"""What a run's files say: pure functions, from slices to points, knees and SLOs."""

from loadtests.analysis.runs import analyse

__all__ = ["analyse"]
