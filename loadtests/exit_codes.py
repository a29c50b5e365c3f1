"""Exit codes of the commands, and the base of the failures that end a command with one of them."""

FINE, FAILED, USAGE, NOT_MEASURABLE, DIED, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Failure(Exception):
    """A failure that the user can mend: a command prints the message and ends with `exit_code`."""

    exit_code = USAGE
