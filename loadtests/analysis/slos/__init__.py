"""SLOs on the points of a run: what was measured of each, and whether it meets them."""
