"""How many files a process may have open: a connection takes one, a shell's limit is often 1024."""

import resource

ENOUGH = 1 << 16
"""More than there are ports; some programs go through all the numbers that they might use."""


def limits() -> tuple[int, int]:
    """RLIMIT_NOFILE with its soft limit raised to what is ENOUGH, or as far as one may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > ENOUGH:
        return soft, hard
    return (ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)), hard
