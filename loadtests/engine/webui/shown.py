"""What the controller gave to be shown, ready to be sent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from gevent.event import Event

from loadtests.recording.messages import PageContent

STARTING = 15.0  # seconds that the first content may take


@dataclass(frozen=True, slots=True)
class Content:
    """`tag` tells it from the one before; `since` on the monotonic clock (seconds)."""

    data: bytes
    tag: str
    since: float = field(default_factory=monotonic)

    @property
    def age(self) -> float:
        return monotonic() - self.since


class Shown:
    def __init__(self) -> None:
        self._contents: dict[str, Content] = {}
        self._count = 0
        self._news = Event()
        self.rows: list[dict[str, Any]] = []

    def take(self, message: PageContent) -> None:
        if message.content is None:
            self._contents.pop(message.name, None)
        else:
            self._count += 1
            data = message.content.encode()
            self._contents[message.name] = Content(data, f"{self._count}-{len(data)}")
        self._news.set()
        self._news.clear()

    def get(self, name: str) -> Content | None:
        return self._contents.get(name)

    def awaited(self, name: str, missing: Callable[[], bool] = lambda: False) -> Content | None:
        """The content, as soon as it is there; None when it does not come, or is `missing`."""
        deadline = monotonic() + STARTING
        while name not in self._contents and not missing() and monotonic() < deadline:
            self._news.wait(0.2)
        return self._contents.get(name)
