"""Comparisons of two deployments or of two saved runs."""
