"""The `measure` that a message proposes: as a plan says it, and only what one can wait for."""

import math

from loadtests.recording.slices import LENGTH

LONGEST = 600.0
"""Seconds of a window worth proposing: with them a plan of six levels takes an hour."""
MINUTES = f"{LONGEST / 60:.0f} minutes"


def measure(seconds: float) -> str | None:
    """E.g. `measure = "54s"`, in whole slices; None: that takes longer than LONGEST."""
    if seconds > LONGEST:
        return None
    up = math.ceil(seconds / LENGTH) * LENGTH
    return f'measure = "{math.ceil(up) if up > 10 else up:g}s"'
