"""Numbers and states in words."""
