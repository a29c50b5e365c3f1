"""Starts the processes of a plan."""

import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from app_under_test.tuning import to_flags
from loadtests import environment, private_files, redaction
from loadtests.plans import (
    CommandDeployment,
    Deployment,
    Plan,
    PlanError,
    UrlDeployment,
    VariantDeployment,
    placeholders,
)
from loadtests.plans.deployments import argv, filled
from loadtests.processes.affinity import Cores
from loadtests.processes.groups import ProcessGroup, stop, uninterrupted
from loadtests.processes.proxies import exceptions
from loadtests.processes.readiness import announced, listens
from loadtests.run import diagnosis, waiting
from loadtests.run.waiting import Awaited, DeploymentFailed, asking, called
from loadtests.samples import gauges
from loadtests.samples.gauges import Collector
from mock_upstream.certificates import Certificates
from mock_upstream.client import owned, serving

# Seconds that our own processes may take to start on a machine that is busy; one that fails ends,
# which is seen at once.
STARTING = 120.0
TIMEOUT = 30.0  # seconds that services that run already may take to answer as expected
NOBODY = 2.0  # ... and for which a refused connection is tried again, as while they restart
LISTED = 9  # statuses that a message lists
_BACKLOG = 2048  # connections that the mock may have waiting, as when it listens by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A deployment that answers at `url`; the rest is empty for one that ran already."""

    name: str
    url: str
    pid: int | None = None
    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)  # in addition to the environment of all
    cwd: Path | None = None
    cores: frozenset[int] = frozenset()

    @property
    def how(self) -> dict[str, Any]:
        """How it was started, for the record of a run."""
        found = {
            "pid": self.pid,
            "argv": list(self.argv),
            "env": dict(self.env),
            "cwd": str(self.cwd) if self.cwd else None,
            "cores": sorted(self.cores),
        }
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class RunningMock:
    """The upstream that runs. Who asks `control` as its `owner` may name files in a profile."""

    url: str
    control: str
    pid: int
    owner: str = ""
    certificates: Certificates | None = None
    """None: it does not speak TLS."""

    @property
    def values(self) -> dict[str, object]:
        """What the placeholders of a deployment stand for."""
        ca = {"upstream_ca": self.certificates.authority} if self.certificates else {}
        return {"upstream": self.url, **ca}

    @property
    def trusted(self) -> dict[str, str]:
        """The variables by which clients trust it."""
        if self.certificates is None:
            return {}
        bundle = str(self.certificates.bundle)
        return {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle}


class Starter:
    """Starts processes and knows all that it has started."""

    def __init__(
        self,
        logs: Path,
        cores: Cores,
        collector: Collector | None,
        headers: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """
        Args:
            headers: of each request of the plan.
        """
        self.cores = cores
        self._headers = [dict(one) for one in headers]
        self._collector = collector
        self.groups: dict[str, ProcessGroup] = {}
        self._logs = logs
        self._awaited: list[Awaited] = []  # what was started and not waited for yet
        self._ports: set[int] = set()
        self._starts = 1

    def mock(self, plan: Plan, profile: Path, issued: Certificates | None = None) -> RunningMock:
        """
        The mock is given sockets that listen already, so its URL is known before it is ready, and
        a deployment that calls it while both start waits instead of being refused.
        """
        private_files.write(profile, f"{plan.upstream.model_dump_json(indent=1)}\n".encode())
        words, owner = serving(str(profile)), token_urlsafe()
        with _listener() as data, _listener() as control:
            descriptors = data.fileno(), control.fileno()
            words += ["--fd", str(descriptors[0]), "--control-fd", str(descriptors[1])]
            if issued:
                words += ["--certificate", str(issued.server)]
            ready = announced(self._log_of("mock"))
            group = self._start("mock", words, owned(owner), None, self.cores.mock, descriptors)
            self._awaited.append(Awaited("mock", ready, STARTING, ""))
            url = _url_of(data, "https" if issued else "http")
            return RunningMock(url, _url_of(control), group.pid, owner, issued)

    def start(
        self, wanted: Mapping[str, Deployment], upstream: RunningMock
    ) -> Callable[[], dict[str, Deployed]]:
        """Start all of them; what is returned waits until they, and the mock, are ready."""
        started: dict[str, dict[str, Any]] = {}
        for name, deployment in wanted.items():
            match deployment:
                case VariantDeployment():
                    awaited, how = self._variant(name, deployment, upstream)
                case CommandDeployment():
                    awaited, how = self._command(name, deployment, upstream)
                case UrlDeployment():
                    awaited, how = _url(name, deployment, self._headers), {}
            self._awaited.append(awaited)
            started[name] = how

        def deployed() -> dict[str, Deployed]:
            ready = waiting.all_ready(self._awaited, self.groups)
            self._awaited = []
            return {
                name: Deployed(name=name, url=ready[name]["url"], **how)
                for name, how in started.items()
            }

        return deployed

    def restarted(
        self, wanted: Mapping[str, Deployment], upstream: RunningMock
    ) -> dict[str, Deployed]:
        """Stop and start those that do not run elsewhere, on other ports."""
        ours = {name: one for name, one in wanted.items() if not isinstance(one, UrlDeployment)}
        with uninterrupted():
            stop(self.groups[name] for name in ours)
        self._starts += 1
        return self.start(ours, upstream)()

    def _variant(
        self, name: str, deployment: VariantDeployment, upstream: RunningMock
    ) -> tuple[Awaited, dict[str, Any]]:
        words = [sys.executable, "-P", "-m", "app_under_test", deployment.variant]
        words += ["--upstream", upstream.url, "--port", "0", *to_flags(deployment.settings)]
        env = self._environment(name, deployment.env, upstream)
        ready = announced(self._log_of(name))
        group = self._start(name, words, env, None, self.cores.apps)
        how = self._how(group, words, env, None)
        return Awaited(name, ready, STARTING, "", group), how

    def _command(
        self, name: str, deployment: CommandDeployment, upstream: RunningMock
    ) -> tuple[Awaited, dict[str, Any]]:
        host = deployment.host
        port = self._free_port(name, host)
        words = argv(deployment.command, port=port, **upstream.values)
        env = self._environment(name, deployment.env, upstream, port=port)
        cwd = deployment.cwd
        last = argv(deployment.stop, port=port, **upstream.values) if deployment.stop else []
        group = self._start(name, words, env, cwd, self.cores.apps, stop_command=last)
        question = deployment.ready.with_common(self._headers)
        expected = _range(question.status) or "2xx"
        hint = (
            f"It must stay in the foreground, listen on {host}, port {port} (its {{port}}), and "
            f"answer {expected} to GET {question.path}; `ready` says what to ask, `ready_timeout` "
            f"how long.\nTo try it by hand: {shlex.join(redaction.words(words))}"
        )
        url = f"{deployment.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        how = self._how(group, words, env, cwd)
        checked = group if deployment.check_listener else None
        ask = asking(name, url, question, deployment, checked)
        return Awaited(
            name,
            ask,
            deployment.ready_timeout,
            hint,
            checked,
            lambda: diagnosis.of_command(url, group.descendants()),
        ), how

    def _environment(
        self, name: str, own: Mapping[str, str], upstream: RunningMock, **values: object
    ) -> dict[str, str | None]:
        """The environment of a deployment's processes; the plan's values come before brownout's."""
        asked = self._collector.environment(name) if self._collector else gauges.OFF
        values |= upstream.values
        planned = {key: filled(text, **values) for key, text in own.items()}
        proxies = exceptions({**os.environ, **planned}, planned)
        return {**asked, **upstream.trusted, **proxies, **planned}

    def _how(
        self,
        group: ProcessGroup,
        words: list[str],
        env: Mapping[str, str | None],
        cwd: Path | None,
    ) -> dict[str, Any]:
        return {
            "pid": group.pid,
            "argv": tuple(words),
            "env": {key: text for key, text in env.items() if text is not None},
            "cwd": cwd,
            "cores": self.cores.apps if self.cores.pinned else frozenset[int](),
        }

    def _start(
        self,
        name: str,
        words: list[str],
        env: Mapping[str, str | None],
        cwd: Path | None,
        cores: frozenset[int],
        descriptors: Sequence[int] = (),
        stop_command: Sequence[str] = (),
    ) -> ProcessGroup:
        log = self._log_of(name)
        try:
            with uninterrupted(), self.cores.pinned_to(cores):
                group = _group(words, env, cwd, log, descriptors, stop_command)
                self.groups[name] = group
                if self._collector:
                    self._collector.started(name, group.pid)
        except PlanError as error:
            raise DeploymentFailed(f"{called(name)} cannot be started: {error}") from None
        except OSError as error:
            culprit = error.filename or words[0]
            raise DeploymentFailed(
                f"{called(name)} cannot be started: {error.strerror}: {culprit}\n"
                f"The command: {shlex.join(redaction.words(words))}\n"
                "Give the program's whole path; `python -m ...` is the Python that runs brownout."
            ) from None
        return self.groups[name]

    def _log_of(self, name: str) -> Path:
        """The log of the present start. No deployment's name has a tilde, so the log is its own."""
        again = f"~{self._starts}" if self._starts > 1 else ""
        return self._logs / f"{name}{again}.log"

    def _free_port(self, name: str, host: str) -> int:
        """One that nobody listens on, and that was not given out before."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        while True:
            try:
                with socket.create_server((host, 0), family=family) as listener:
                    port: int = listener.getsockname()[1]
            except OSError as error:
                raise DeploymentFailed(
                    f"{called(name)} cannot be started: nothing can listen on {host} here "
                    f"({error.strerror}); take another `host`"
                ) from None
            if port not in self._ports:
                self._ports.add(port)
                return port


def _group(
    words: Sequence[str],
    env: Mapping[str, str | None],
    cwd: Path | None,
    log: Path,
    descriptors: Sequence[int],
    stop_command: Sequence[str],
) -> ProcessGroup:
    """
    Start a process of a plan with its secrets, and without those of the load generator.

    Raises:
        OSError, PlanError: it cannot be started; a secret is not there any more.
    """
    env = {environment.PASSWORD: None, **placeholders.filled_environment(env)}
    argv, last = map(placeholders.filled_words, (words, stop_command))
    return ProcessGroup(argv, env, cwd, log, descriptors, last)


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)


def _url_of(listener: socket.socket, scheme: str = "http") -> str:
    host, port = listener.getsockname()
    return f"{scheme}://{host}:{port}"


def _url(name: str, deployment: UrlDeployment, headers: Sequence[dict[str, str]]) -> Awaited:
    url, ready = deployment.url, deployment.ready
    hint = (
        "Start it first, have it waited for with `ready_timeout`, or write a `command` in the "
        "plan, with which brownout starts it."
    )
    ask = asking(name, url, ready.with_common([*headers]), deployment) if ready else listens(url)
    timeout, refused = TIMEOUT if ready else 0.0, NOBODY
    if deployment.ready_timeout is not None:
        timeout = refused = deployment.ready_timeout
    return Awaited(
        name, ask, timeout, hint, diagnose=lambda: diagnosis.of_url(url), refused=refused
    )


def _range(statuses: Sequence[int]) -> str:
    """The statuses in words; their ends where they are many, as brownout itself asks for them."""
    if len(statuses) > LISTED:
        return f"{min(statuses)} to {max(statuses)}"
    return "/".join(map(str, statuses))
