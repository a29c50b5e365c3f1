"""Waits until what was started is ready, or says why it is not."""

import math
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadtests import tls
from loadtests.exit_codes import DIED, Failure
from loadtests.plans import CommandDeployment, UrlDeployment, placeholders
from loadtests.plans.readiness import Question
from loadtests.processes.connection_errors import REFUSED
from loadtests.processes.groups import ProcessGroup
from loadtests.processes.listeners import stranger
from loadtests.processes.readiness import Ask, Ready, answers
from loadtests.run import diagnosis


class DeploymentFailed(Failure):
    """Something did not come up; the message has its last words and the way out."""

    exit_code = DIED


@dataclass(frozen=True, slots=True)
class Awaited:
    """What is starting: `ask` gives what is known once it is ready, or why it is not."""

    name: str
    ask: Ask
    timeout: float
    hint: str
    group: ProcessGroup | None = None
    """Whose processes must be the ones that listen; None: anyone may."""
    diagnose: Callable[[], str] = lambda: ""
    """What is looked up once it is too late: a sentence about why, or nothing."""
    refused: float = math.inf
    """Seconds after which a refused connection is told, if that is sooner."""

    def seconds(self, answer: str) -> float:
        """How long to wait where the last answer was this one."""
        return min(self.timeout, self.refused) if answer.endswith(REFUSED) else self.timeout


def asking(
    name: str,
    url: str,
    question: Question,
    how: CommandDeployment | UrlDeployment,
    group: ProcessGroup | None = None,
) -> Ask:
    """
    Return the question whether a service is up.

    Args:
        group: whose processes must be the ones that listen; None: anyone may.
    """
    context = None
    if url.startswith("https:"):
        ca = str(how.ca) if how.ca else None
        context = tls.context(tls.planned(how.verify, ca), ca)
    return answers(
        url,
        question.path,
        lambda: {name: placeholders.filled(text) for name, text in question.headers.items()},
        question.status,
        context,
        lambda: _check_listener(name, url, group),
    )


def all_ready(awaited: list[Awaited], groups: Mapping[str, ProcessGroup]) -> dict[str, Ready]:
    """What each of them says of itself, once all are ready."""
    began = time.monotonic()
    hints = {one.name: one.hint for one in awaited}
    found: dict[str, Ready] = {}
    while True:
        for name, group in groups.items():
            if end := group.ended():
                words = group.last_words()
                raise DeploymentFailed(
                    f"{called(name)} {end} while starting.{_port(words)}{words}"
                    f"\n{hints.get(name, '')}".rstrip()
                )
        for one in awaited:
            if one.name in found:
                continue
            answer = one.ask()
            if not isinstance(answer, str):
                _check_listener(one.name, answer["url"], one.group)
                found[one.name] = answer
            elif time.monotonic() - began > (timeout := one.seconds(answer)):
                within = f" in {timeout:g} s" if timeout else ""
                words = groups[one.name].last_words() if one.name in groups else ""
                raise DeploymentFailed(
                    f"{called(one.name)} did not become ready{within}: {_sentence(answer)}"
                    f"{_port(words)}{diagnosis.of_answer(answer)}{one.diagnose()}{words}"
                    f"\n{one.hint}".rstrip()
                )
        if len(found) == len(awaited):
            return found
        time.sleep(0.02)


def _check_listener(name: str, url: str, group: ProcessGroup | None) -> None:
    """
    Check who listens, before anything of the plan, such as its headers, is sent there.

    Raises:
        DeploymentFailed: a process that the group did not start.
    """
    if group is None:
        return
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    if host == "localhost":
        with suppress(OSError), socket.create_connection((host, port), 1.0) as connected:
            host = connected.getpeername()[0]
    # Twice: a worker can be forked between the look at the processes and that at the sockets.
    if stranger(host, port, group.descendants()) is None:
        return
    if (other := stranger(host, port, group.descendants())) is None:
        return
    raise DeploymentFailed(
        f"{called(name)} was given port {port}, but {other} listens there, which it did not "
        f"start. Nothing of the plan was sent to it.{group.last_words()}\n"
        "If another program took the port, start again: a free one is chosen each time. If the "
        "service runs in a container or as another user, so that the listening process is not one "
        "of the command's, put check_listener = false into its table in the plan."
    )


def _sentence(text: str) -> str:
    """The text with a full stop; several lines stay as they are."""
    return text if "\n" in text else f"{text.rstrip('.')}."


def called(name: str) -> str:
    return "the mock upstream" if name == "mock" else f"deployment {name!r}"


def _port(words: str) -> str:
    if "address already in use" not in words.lower():
        return ""
    return (
        " A port that it wants is in use: end what holds it, or have it listen on {port} alone, "
        "which is a free one each time."
    )
