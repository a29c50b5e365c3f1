"""Durations, sizes and documents, as text and as numbers."""
