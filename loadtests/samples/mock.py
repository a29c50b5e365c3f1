"""The mock's own count of what it did."""

import json
from typing import Any

from mock_upstream.client import Control, ControlError

TIMEOUT = 0.5  # seconds for the mock's answer


class LedgerReader:
    """
    Reads over one connection that is kept.

    With `recent_peak` the peak in flight is that since the last reading with it, and leaves the
    peak that others find as it is.
    """

    def __init__(self, control_url: str, *, recent_peak: bool = False) -> None:
        self._path = f"/ledger?recent_peak={str(recent_peak).lower()}"
        self._control = Control(control_url, timeout=TIMEOUT, keep=True)

    def read(self) -> Any:
        """Return the ledger; None when the mock does not answer in time, or not with it."""
        try:
            return json.loads(self._control.ask("GET", self._path))
        except (ControlError, ValueError):
            self.close()
            return None

    def close(self) -> None:
        self._control.close()
