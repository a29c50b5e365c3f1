"""What a run's files say: pure functions, from slices to points, knees and SLOs."""

from loadtests.analysis.runs import analyse, run_of

__all__ = ["analyse", "run_of"]
