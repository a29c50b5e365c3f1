"""Exchanges, bodies, aborts."""
