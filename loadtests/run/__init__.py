"""Plays a plan: deployments, controller, engine process, recorder."""
