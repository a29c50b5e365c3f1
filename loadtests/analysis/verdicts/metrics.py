"""The metrics by which two deployments can be compared. `--help` lists them: no imports here."""

from typing import Literal, get_args

Metric = Literal["p50", "p95", "p99", "throughput", "cpu", "memory"]
METRICS: tuple[Metric, ...] = get_args(Metric)
