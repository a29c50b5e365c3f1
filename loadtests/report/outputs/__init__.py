"""One file an output of a report."""
