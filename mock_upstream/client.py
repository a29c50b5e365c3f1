"""
A mock upstream for the length of a `with`, as a process of its own.

A process, and not a thread: a test that blocks its own event loop, or holds the interpreter's
lock, must not make the upstream late. Imports little until something is started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from secrets import token_urlsafe
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from mock_upstream.ledger.ledger import Account
    from mock_upstream.profiles.profile import Profile

_TIMEOUT = 30.0  # seconds that an answer of the control API may take on a machine that is busy
_GRACE = 10.0  # seconds to end after SIGTERM


class ControlError(Exception):
    """A request that the control API did not fulfil; `status` is 0 where it did not answer."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class Control:
    """
    A client of a mock's control API.

    Args:
        url: of the API.
        owner: the secret of the process that started the mock; who has it can name files.
        token: what the API was told to ask for, where it was.
        timeout: seconds that an answer may take.
        keep: whether the connection is kept for the next request.
    """

    def __init__(
        self,
        url: str,
        *,
        owner: str = "",
        token: str = "",
        timeout: float = _TIMEOUT,
        keep: bool = False,
    ) -> None:
        # Not urllib: it would hand even loopback to a proxy of the environment.
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout)
        self._headers = {"content-type": "application/json"}
        if owner:
            self._headers["x-mock-owner"] = owner
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._keep = keep

    def ask(self, method: str, path: str, body: str | None = None) -> bytes:
        """
        Return the body of the answer.

        Raises:
            ControlError: the mock did not answer, or with an error; the message is its own.
        """
        try:
            self._connection.request(method, path, body, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            self.close()
            raise ControlError(str(error)) from None
        if not self._keep:
            self.close()
        if response.status >= 400:
            try:
                why = str(json.loads(text)["error"])
            except (ValueError, KeyError, TypeError):
                why = text.decode(errors="replace")
            raise ControlError(why, response.status)
        return text

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._connection.close()


def serving(*arguments: str, program: Sequence[str] = ("mock_upstream",)) -> list[str]:
    """Return the command line of a mock."""
    return [sys.executable, "-P", "-m", *program, "serve", *arguments]


def owned(owner: str) -> dict[str, str | None]:
    """
    Return the variables with which a mock starts that obeys its owner; None: not set.

    A token for another control API would close this one, which only this machine can ask.
    """
    return {"MOCK_UPSTREAM_CONTROL_TOKEN": None, "MOCK_UPSTREAM_OWNER": owner}


class Upstream:
    """A mock that runs. What it plays can be changed, and what it did can be read."""

    def __init__(
        self,
        url: str,
        control: str,
        owner: str,
        pid: int,
        process: subprocess.Popen[str] | None = None,
        complaints: IO[str] | None = None,
        ca: Path | None = None,
    ) -> None:
        self.url = url
        """What the service under test calls; stays the same whatever is configured."""
        self.control = control
        """The control API."""
        self.ca = ca
        """The certificate that clients have to trust; None: it is not HTTPS."""
        self.pid = pid
        self._owner = owner
        self._control = Control(control, owner=owner)
        self._process = process
        self._complaints = complaints

    def address(self) -> dict[str, Any]:
        """Return the arguments with which another process makes an Upstream of this mock."""
        return {
            "url": self.url,
            "control": self.control,
            "owner": self._owner,
            "pid": self.pid,
        }

    def configure(
        self, profile: Profile | Mapping[str, Any] | str | Path | None = None, /, **values: Any
    ) -> None:
        """
        Play another profile from the next request on; the arguments are those of `running`.

        Raises:
            ProfileError: it cannot be played; the one before stays.
        """
        self._ask("PUT", "/profile", _json(_profile(profile, values)))

    def profile(self) -> Profile:
        """What it plays."""
        return _profile(json.loads(self._ask("GET", "/profile")), {})

    def reset(self) -> None:
        """Drop the answers that are owed, and let the ledger count from zero."""
        self._ask("POST", "/reset")

    def start_timeline(self) -> None:
        """
        Let the profile's timeline begin now.

        Raises:
            RuntimeError: the profile has none.
        """
        self._ask("POST", "/timeline/start")

    def ledger(self, *, reset_peak: bool = False) -> Account:
        """
        What it did since the start or the last reset.

        Args:
            reset_peak: lets the peak in flight start again, after this reading.
        """
        text = self._ask("GET", f"/ledger?reset_peak={str(reset_peak).lower()}")
        account: Account = _accounts().validate_json(text)
        return account

    def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        try:
            return self._control.ask(method, path, body)
        except ControlError as error:
            if error.status == 422:
                from mock_upstream.profiles.profile import ProfileError

                raise ProfileError(str(error)) from None
            if error.status:
                raise RuntimeError(
                    f"the mock upstream answers {error.status} to {method} {path}: {error}"
                ) from None
            end = None
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):  # its sockets close before it ends
                    end = self._process.wait(1)
            how = f"it ended with exit code {end}" if end is not None else str(error)
            raise RuntimeError(
                f"the mock upstream does not answer {method} {path}: {how}{self._last_words()}"
            ) from None

    def _last_words(self) -> str:
        return _last_words(self._complaints) if self._complaints is not None else ""


@contextmanager
def running(
    profile: Profile | Mapping[str, Any] | str | Path | None = None, /, **values: Any
) -> Iterator[Upstream]:
    """
    A mock upstream on free ports of this machine, ready, and stopped at the end.

    Args:
        profile: a latency as text ("50ms"), a `Profile`, its values as a mapping, or the `Path`
            of a .toml or .json file. None: the default profile.
        values: single values of the profile, as in `running(latency="50ms", errors={503: 0.1})`.

    Raises:
        ProfileError: the profile cannot be played.
        RuntimeError: the mock did not start; the message has its last words.
    """
    played = _profile(profile, values)
    with (
        # Neither has a name, so that nothing stays where this process is killed.
        tempfile.TemporaryFile("w+", encoding="utf-8") as sent,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
    ):
        sent.write(_json(played))
        sent.seek(0)  # the mock reads on from here
        owner = token_urlsafe()
        with _process(sent.fileno(), owner, complaints) as process:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the mock upstream did not start{_last_words(complaints)}")
            ready = json.loads(line)
            ca = Path(ready["ca"]) if "ca" in ready else None
            yield Upstream(
                ready["url"], ready["control"], owner, process.pid, process, complaints, ca
            )


@contextmanager
def _process(profile: int, owner: str, complaints: IO[str]) -> Iterator[subprocess.Popen[str]]:
    env = {n: value for n, value in (os.environ | owned(owner)).items() if value is not None}
    process = subprocess.Popen(
        serving(program=["mock_upstream.child", str(profile)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        encoding="utf-8",
        errors="replace",
        env=env,
        pass_fds=[profile],
        # Ctrl-C is for the program that uses the mock: it may still want to read the ledger.
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()


def _profile(
    profile: Profile | Mapping[str, Any] | str | Path | None, values: Mapping[str, Any]
) -> Profile:
    from mock_upstream.profiles.profile import Profile, load

    match profile:
        case Path():
            return load(profile, values)
        case str():
            return load(None, {"latency": profile, **values})
        case Profile():
            return load(None, {**profile.model_dump(by_alias=True), **values})
        case Mapping():
            return load(None, {**profile, **values})
        case None:
            return load(None, values)
    raise TypeError(
        f"{profile!r} is not a profile; give a latency such as '50ms', a Profile, a mapping or a "
        "Path"
    )


def _json(profile: Profile) -> str:
    # Without TLS it says nothing of it: another profile is played by a mock with TLS, too.
    return profile.model_dump_json(by_alias=True, exclude=None if profile.tls else {"tls"})


@cache
def _accounts() -> TypeAdapter[Account]:
    from pydantic import TypeAdapter

    from mock_upstream.ledger.ledger import Account

    return TypeAdapter(Account)


def _last_words(complaints: IO[str]) -> str:
    complaints.seek(0)
    text = complaints.read().strip()
    return f"; its last words:\n{text}" if text else ""
