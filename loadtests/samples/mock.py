"""The mock's own count of what it did."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 0.5  # seconds for the mock's answer


class LedgerReader:
    """
    Read over one connection that is kept.

    With `recent_peak` the peak in flight is that since the last reading with it, and leaves the
    peak that others find as it is.
    """

    def __init__(self, control_url: str, *, recent_peak: bool = False) -> None:
        self._path = f"/ledger?recent_peak={str(recent_peak).lower()}"
        parts = urlsplit(control_url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=TIMEOUT
        )

    def read(self) -> Any:
        """None when the mock does not answer in time, or not with its ledger."""
        try:
            self._connection.request("GET", self._path)
            response = self._connection.getresponse()
            text = response.read()
            return json.loads(text) if response.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()  # the next read opens it again
            return None

    def close(self) -> None:
        self._connection.close()
