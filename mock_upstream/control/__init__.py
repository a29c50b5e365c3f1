"""The control API and the metrics."""
