"""How many files a process may have open: a connection takes one, a shell's limit is often 1024."""

import errno
import resource
from contextlib import suppress

from loadtests.exit_codes import NOT_MEASURABLE, Failure

ENOUGH = 1 << 16
"""More than there are ports; some programs go through all the numbers that they might use."""


OPEN_MAX = 10240
"""What macOS allows where it reports `unlimited` and refuses more: <sys/syslimits.h>."""


def raise_limit() -> None:
    """Let this process have ENOUGH files open, or as many as the system permits."""
    soft, hard = limits()
    for most in (soft, min(soft, OPEN_MAX)):
        if most < resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
            return  # it has more already
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def limits() -> tuple[int, int]:
    """RLIMIT_NOFILE with its soft limit raised to what is ENOUGH, or as far as one may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > ENOUGH:
        return soft, hard
    return (ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)), hard


class OutOfDescriptors(Failure):
    """This process, or the machine, has as many files and connections open as it may."""

    exit_code = NOT_MEASURABLE


HINT = "raise the limit of open files (`ulimit -n`)"


def exhausted(error: BaseException) -> OutOfDescriptors | None:
    """Return the message for an error of this kind; None: it is of another kind."""
    if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return OutOfDescriptors(f"brownout ran out of file descriptors: {HINT} and start it again.")
