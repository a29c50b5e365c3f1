"""What is said of connections that a service closed while they were kept."""

from collections.abc import Sequence

from loadtests.analysis.inputs.records import StageRecord

LEAST = 3  # connections; fewer are the end of a keep-alive or two
SHARE = 0.002  # of the requests


def told(records: Sequence[StageRecord]) -> list[str]:
    """
    Return a note where a service closed kept connections, as workers that are replaced do.

    Requests that were lost with their connection before a byte of an answer came were sent again
    where their method is safe (RFC 9110, 9.2.2): they count once, and their time has both.
    """
    dones = [done for record in records for done in record.dones.values()]
    reopened, resent = sum(done.reopened for done in dones), sum(done.resent for done in dones)
    requests = sum(part.started for record in records for part in record.slices)
    if resent == 0 and (reopened < LEAST or reopened < SHARE * requests):
        return []
    connections = (
        "1 kept connection was" if reopened == 1 else f"{reopened:,} kept connections were"
    )
    text = f"{connections} closed by the service and opened again"
    if resent:
        times = "1 request was" if resent == 1 else f"{resent:,} requests were"
        text += f"; {times} sent a second time, as the first one got no answer"
    return [text]
