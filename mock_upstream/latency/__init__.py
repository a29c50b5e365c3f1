"""Latency as text, as distributions and as seeded draws."""
