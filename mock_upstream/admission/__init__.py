"""Servers, queues and rate limits."""
