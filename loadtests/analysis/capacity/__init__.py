"""The highest level that meets the SLOs."""
