"""The experiments: each module has some about one subject, as `EXPERIMENTS`."""
