"""The experiments: each module has some about one subject, each next to what judges it."""
