"""Profiles and timelines."""
