"""Whether deployment B is better than deployment A."""
