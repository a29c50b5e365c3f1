"""Whether a measurement can be trusted, and what disturbed it."""
