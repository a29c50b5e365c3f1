"""Deadlines, timers and event loops."""
