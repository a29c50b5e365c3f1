"""The mock upstream in the hand of somebody who watches: changed while a run goes on."""

import json
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from loadtests.recording.messages import UpstreamChanged
from loadtests.run.starter import RunningMock
from mock_upstream.client import Control, ControlError
from mock_upstream.latency.parser import parse
from mock_upstream.profiles.merge_patch import difference
from mock_upstream.profiles.profile import Profile
from mock_upstream.units.grammar import TextError

OUTAGE = 10.0  # seconds
STATUS = "503"  # of every answer in an outage
TIMEOUT = 5.0  # seconds for an answer of the mock
_LONGEST = 80  # characters of a value in words
_MOST = 100_000  # characters of a value that is typed

Values = Mapping[str, Any]
JsonProfile = dict[str, Any]


class ChangeRefused(Exception):
    """What cannot be done to the upstream; the message says why."""


class UpstreamControl:
    """Every change is told as it is made, with what is played from then on."""

    def __init__(self, mock: RunningMock, profile: Profile) -> None:
        """
        Args:
            profile: that it plays already.
        """
        self._control = Control(mock.control, owner=mock.owner, timeout=TIMEOUT)
        self.changed: Callable[[UpstreamChanged | None], None] = lambda _: None
        """Takes each change, from another thread when an outage ends; None: it could not end."""
        self._lock = threading.RLock()
        self._planned: JsonProfile = profile.model_dump(mode="json")
        self._played = self._before = self._planned
        self._running = False
        self._outage: threading.Timer | None = None
        self._over_at = 0.0

    def begin(self, profile: Profile) -> None:
        """
        A run begins, with this profile; a timeline that waits for the load test begins with it.

        Raises:
            ChangeRefused: the mock does not play it.
        """
        with self._lock:
            self._running = True
            wanted = profile.model_dump(mode="json")
            if wanted != self._played:
                self._send("PUT", wanted)
            self._planned = self._played
            if profile.timeline is not None and profile.timeline.start == "control":
                self._ask("POST", path="/timeline/start")

    def scaled(self, scale: float, pair: int) -> None:
        """
        Play the profile with its delays times `scale`, until the run is over; for an experiment.

        Draws begin again with each profile, so that windows of one pair get the same ones, and
        stratified, so that those of a short window are as long in the mean as those of a long one.

        Raises:
            ChangeRefused: the mock does not take it.
        """
        with self._lock:
            seed, before = self._planned.get("seed", 0), self._planned.get("scale", 1.0)
            changed = {"scale": before * scale, "sampling": "stratified", "seed": seed + 1 + pair}
            self._put(self._planned | changed)

    def end(self) -> None:
        """The run is over, and with it an outage and all that was changed."""
        with self._lock:
            self._running = False
            if self._outage is not None:
                self._outage.cancel()
                self._outage = None
            if self._played != self._planned:
                with suppress(ChangeRefused):  # the next run asks for its profile, and tells
                    self._put(self._planned)

    def state(self) -> dict[str, Any]:
        """What the panel shows; texts as it takes them."""
        with self._lock:
            played = self._before if self._outage else self._played
            capacity = played.get("capacity") or {}
            return {
                "latency": played.get("latency", ""),
                "servers": str(capacity.get("servers", "")),
                "errors": ", ".join(f"{s} = {p}" for s, p in played.get("errors", {}).items()),
                "faults": "\n".join(_table(fault) for fault in played.get("faults", ())),
                "planned": played == self._planned,
                "running": self._running,
                "outage": max(self._over_at - monotonic(), 0.0) if self._outage else None,
                "rest": sorted(
                    name for name in ("limits", "routes", "timeline", "spells") if played.get(name)
                ),
            }

    def change(self, values: Values) -> None:
        """
        Play other values: `latency`, `servers`, `errors` and `faults`, as texts; those that are
        absent stay.

        Raises:
            ChangeRefused: no run goes on, or an outage does, or a value cannot be.
        """
        with self._lock:
            self._check()
            self._play(self._played | _read(values, self._played, self._planned))

    def restore(self, _: Values) -> None:
        """Play the plan's profile again. Raises ChangeRefused."""
        with self._lock:
            self._check()
            self._play(self._planned)

    def outage(self, _: Values) -> None:
        """Answer every request with an error for OUTAGE seconds. Raises ChangeRefused."""
        with self._lock:
            self._check()
            self._before = self._played
            self._put(_out(self._played))
            self._outage = threading.Timer(OUTAGE, lambda: self._recover(outage))
            outage = self._outage
            self._outage.daemon = True
            self._over_at = monotonic() + OUTAGE
            self._outage.start()
            self._tell(f"outage: every answer is {STATUS}")

    def _recover(self, outage: threading.Timer) -> None:
        with self._lock:
            if self._outage is not outage:  # it ended with its run, while this waited
                return
            self._outage = None
            try:
                self._put(self._before)
            except ChangeRefused:
                self.changed(None)
            else:
                self._tell("the outage is over")

    def _check(self) -> None:
        if not self._running:
            raise ChangeRefused("no test runs: the next one starts with the profile of its form")
        if self._outage is not None:
            left = self._over_at - monotonic()
            raise ChangeRefused(f"an outage goes on; it is over in {max(left, 0):.0f} s")

    def _play(self, profile: JsonProfile) -> None:
        before = self._played
        self._put(profile)
        if self._played != before:
            self._tell(_difference(before, self._played))

    def _tell(self, text: str) -> None:
        planned = self._played == self._planned
        profile = None if planned else self._played
        self.changed(UpstreamChanged(at=monotonic(), text=text, profile=profile))

    def _put(self, profile: JsonProfile) -> None:
        """Change what is played to it; draws and the counts of faults go on."""
        self._send("PATCH", profile)

    def _send(self, method: str, profile: JsonProfile) -> None:
        """Know what is played in the mock's own words."""
        values = profile if method == "PUT" else difference(self._played, profile)
        self._ask(method, json.dumps(values))
        self._played = profile
        self._played = json.loads(self._ask("GET"))

    def _ask(self, method: str, body: str | None = None, path: str = "/profile") -> bytes:
        try:
            return self._control.ask(method, path, body)
        except ControlError as error:
            how = "" if error.status else "the mock upstream does not answer: "
            raise ChangeRefused(f"{how}{error}") from None


def _read(values: Values, played: JsonProfile, planned: JsonProfile) -> JsonProfile:
    """The changed values of a profile. Raises ChangeRefused."""
    found: JsonProfile = {}
    if "latency" in values:
        known = played.get("latency"), planned.get("latency")
        found["latency"] = _latency(_text(values, "latency"), known)
    if "servers" in values:
        servers = _text(values, "servers")
        capacity = played.get("capacity") or {}
        found["capacity"] = {**capacity, "servers": _whole(servers)} if servers else None
    if "errors" in values:
        found["errors"] = _toml(f"{{ {_text(values, 'errors')} }}", "errors", "503 = 0.01")
    if "faults" in values:
        tables = [f"{{ {line} }}" for line in _text(values, "faults").splitlines() if line.strip()]
        example = 'fault = "reset", probability = 0.1'
        found["faults"] = _toml(f"[ {', '.join(tables)} ]", "faults", example)
    return found


def _text(values: Values, name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        # Half of a surrogate pair could not be sent anywhere, not even in a message.
        raise ChangeRefused(f"{name}: {value!r:.60} is not text")
    if len(value) > _MOST:
        raise ChangeRefused(
            f"{name}: {len(value):,} characters are too many; {_MOST:,} are the most"
        )
    return value.strip()


def _latency(text: str, known: Sequence[str | None]) -> str:
    """The text itself. No page has a file read that the plan does not name."""
    if text not in known:
        try:
            parse(text)
        except TextError as error:
            raise ChangeRefused(f"latency: {error}") from None
    return text


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ChangeRefused(
            f"servers: {text!r:.60} is not a whole number; leave it empty for no limit"
        )
    return int(text)


def _toml(text: str, name: str, example: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
        json.dumps(found)  # TOML has dates, and numbers of any length
    except (ValueError, TypeError, RecursionError):
        found = {}
    if found.keys() != {"value"}:
        raise ChangeRefused(f"{name}: {text[1:-1].strip()!r:.100} cannot be read; write {example}")
    return found["value"]


def _table(fault: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in fault.items())


def _out(profile: JsonProfile) -> JsonProfile:
    """
    The profile in an outage. A route's own errors and faults would come before the profile's, as
    would what a timeline makes of them, and who is over a limit.
    """
    down = {"errors": {STATUS: 1.0}, "faults": []}
    routes = [route | down for route in profile.get("routes", ())]
    return profile | down | {"routes": routes, "timeline": None, "limits": []}


def _difference(before: JsonProfile, after: JsonProfile) -> str:
    changes = [
        f"{name} {_short(before.get(name))} → {_short(value)}"
        for name, value in after.items()
        if value != before.get(name)
    ]
    return "; ".join(changes)


def _short(value: Any) -> str:
    if not value:
        return "none"
    if isinstance(value, dict):
        text = ", ".join(f"{key} = {part}" for key, part in value.items() if part is not None)
    elif isinstance(value, list):
        text = "; ".join(map(_short, value))
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
