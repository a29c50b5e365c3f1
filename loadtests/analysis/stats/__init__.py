"""Statistics that know nothing of brownout."""
