"""Processes that are started: groups, supervisors, ports, cores."""
