"""The processes of a plan: the mock upstream and the deployments, up for the length of a `with`."""

import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from urllib.parse import urlsplit

from app_under_test.tuning import to_flags
from loadtests import environment, private_files, redaction, tls
from loadtests.exit_codes import DIED, Failure
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
from loadtests.plans.readiness import Question
from loadtests.processes.affinity import Cores
from loadtests.processes.groups import ProcessGroup, members, stop, uninterrupted
from loadtests.processes.listeners import stranger
from loadtests.processes.pids import runs
from loadtests.processes.proxies import exceptions
from loadtests.processes.readiness import Ready, announced, answers, listens
from loadtests.run import diagnosis
from loadtests.samples import gauges
from loadtests.samples.gauges import Collector
from mock_upstream import certificates
from mock_upstream.certificates import Certificates
from mock_upstream.client import owned, serving

# Seconds that our own processes may take to start on a machine that is busy; one that fails ends,
# which is seen at once.
STARTING = 120.0
TIMEOUT = 30.0  # seconds that services that run already may take
_BACKLOG = 2048  # connections that the mock may have waiting, as when it listens by itself


class DeploymentFailed(Failure):
    """Something did not come up; the message has its last words and the way out."""

    exit_code = DIED


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


@dataclass(frozen=True, slots=True)
class Fleet:
    """All that runs for a plan. `gauges`: receives the telemetry of deployments, if it is on."""

    mock: RunningMock
    deployments: Mapping[str, Deployed]
    cores: Cores
    gauges: Collector | None
    _groups: Mapping[str, ProcessGroup]
    _restart: Callable[[Mapping[str, Deployment] | None], Mapping[str, Deployed]]

    def restart(self, only: Mapping[str, Deployment] | None = None) -> Mapping[str, Deployed]:
        """
        Restart all deployments that were started here, and return their new addresses by name.

        Args:
            only: these alone, as they are described here.

        Raises:
            DeploymentFailed: one did not become ready again.
        """
        return self._restart(only)

    def dead(self) -> dict[str, str]:
        """Those that have ended since, "mock" among them: name -> how, with the last words."""
        ends = {name: (group.ended(), group) for name, group in self._groups.items()}
        gone = self._lent and not runs(self.mock.pid)
        return ({"mock": f"{_called('mock')} has ended."} if gone else {}) | {
            name: f"{_called(name)} {end}.{group.last_words()}"
            for name, (end, group) in ends.items()
            if end
        }

    def failure_words(self, name: str, exceptions_only: bool = False) -> str:
        """What the log of a deployment says of its failures; empty for one that ran already."""
        group = self._groups.get(name)
        return group.failure_words(exceptions_only=exceptions_only) if group else ""

    def processes(self) -> dict[str, list[int]]:
        """The process ids of the mock and of each deployment that was started, by name."""
        found = members(self._groups.values())
        lent = {"mock": [self.mock.pid]} if self._lent else {}
        return lent | {name: found[group.pid] for name, group in self._groups.items()}

    @property
    def _lent(self) -> bool:
        """Whether the mock ran before."""
        return "mock" not in self._groups


@dataclass(frozen=True, slots=True)
class Launch:
    """All that was started for a plan. It may still be starting."""

    cores: Cores
    ready: Callable[[], Fleet]
    """Waits until everything is ready. Raises DeploymentFailed."""


@contextmanager
def running(
    plan: Plan, folder: Path, only: Collection[str] | None = None, lent: RunningMock | None = None
) -> Iterator[Fleet]:
    """
    Start what the plan needs, wait until it is ready, and stop it whatever happens.

    Takes and raises what `launched` does.
    """
    with launched(plan, folder, only, lent) as launch:
        yield launch.ready()


@contextmanager
def launched(
    plan: Plan, folder: Path, only: Collection[str] | None = None, lent: RunningMock | None = None
) -> Iterator[Launch]:
    """
    Start what the plan needs, all at once, and stop it whatever happens.

    The caller can start something of its own before it waits for `Launch.ready`.

    Args:
        folder: takes the upstream's profile and `logs/`.
        only: the names of the deployments to start; None: all.
        lent: the mock, where it runs already and plays the plan's profile: for the length of the
            block it is on its core, and is neither started nor stopped.

    Raises:
        DeploymentFailed: a program cannot be started; the others are stopped again.
    """
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    wanted = {n: d for n, d in plan.deployments.items() if only is None or n in only}
    cores = Cores.here()
    moved = cores.moved_to(cores.mock, lent.pid) if lent else nullcontext()
    with _collecting(plan, cores) as collector, moved, ExitStack() as stack:
        headers = [request.headers for request in plan.requests]
        starter = _Starter(folder / "logs", cores, collector, headers)
        if plan.upstream.tls and not lent:
            try:
                issued = stack.enter_context(certificates.issued())
            except certificates.NoTrustme as error:
                raise DeploymentFailed(f"{_called('mock')} cannot be started: {error}") from None
        else:
            issued = None
        try:
            mock = lent or starter.mock(plan, folder / "upstream.json", issued)
            deployed = starter.start(wanted, mock)

            def restart(only: Mapping[str, Deployment] | None) -> Mapping[str, Deployed]:
                return starter.restarted(wanted if only is None else only, mock)

            def ready() -> Fleet:
                return Fleet(mock, deployed(), cores, collector, starter.groups, restart)

            yield Launch(cores, ready)
        finally:
            with uninterrupted():
                stop(starter.groups.values())


@contextmanager
def _collecting(plan: Plan, cores: Cores) -> Iterator[Collector | None]:
    """None where the plan has no telemetry."""
    if not plan.telemetry:
        yield None
        return
    with ExitStack() as stack:
        with cores.pinned_to(cores.mock | cores.generator):  # its thread stays there
            collector = stack.enter_context(Collector(plan.deployments))
        yield collector


@dataclass(slots=True)
class _Awaited:
    """What is starting: `ask` gives what is known once it is ready, or why it is not."""

    name: str
    ask: Callable[[], Ready | str]
    timeout: float
    hint: str
    group: ProcessGroup | None = None
    """Whose processes must be the ones that listen; None: anyone may."""
    diagnose: Callable[[], str] = lambda: ""
    """What is looked up once it is too late: a sentence about why, or nothing."""


class _Starter:
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
        self._awaited: list[_Awaited] = []  # what was started and not waited for yet
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
            self._awaited.append(_Awaited("mock", ready, STARTING, ""))
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
                    waiting, how = self._variant(name, deployment, upstream)
                case CommandDeployment():
                    waiting, how = self._command(name, deployment, upstream)
                case UrlDeployment():
                    waiting, how = _url(name, deployment, self._headers), {}
            self._awaited.append(waiting)
            started[name] = how

        def deployed() -> dict[str, Deployed]:
            ready = _all_ready(self._awaited, self.groups)
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
    ) -> tuple[_Awaited, dict[str, Any]]:
        words = [sys.executable, "-P", "-m", "app_under_test", deployment.variant]
        words += ["--upstream", upstream.url, "--port", "0", *to_flags(deployment.settings)]
        env = self._environment(name, deployment.env, upstream)
        ready = announced(self._log_of(name))
        group = self._start(name, words, env, None, self.cores.apps)
        how = self._how(group, words, env, None)
        return _Awaited(name, ready, STARTING, "", group), how

    def _command(
        self, name: str, deployment: CommandDeployment, upstream: RunningMock
    ) -> tuple[_Awaited, dict[str, Any]]:
        host = deployment.host
        port = self._free_port(name, host)
        words = argv(deployment.command, port=port, **upstream.values)
        env = self._environment(name, deployment.env, upstream, port=port)
        cwd = deployment.cwd
        last = argv(deployment.stop, port=port, **upstream.values) if deployment.stop else []
        group = self._start(name, words, env, cwd, self.cores.apps, stop_command=last)
        question = deployment.ready.with_common(self._headers)
        expected = "/".join(map(str, question.status)) or "2xx"
        hint = (
            f"It must stay in the foreground, listen on {host}, port {port} (its {{port}}), and "
            f"answer {expected} to GET {question.path}; `ready` says what to ask, `ready_timeout` "
            f"how long.\nTo try it by hand: {shlex.join(redaction.words(words))}"
        )
        url = f"{deployment.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        how = self._how(group, words, env, cwd)
        checked = group if deployment.check_listener else None
        waiting = _Awaited(name, lambda: "", deployment.ready_timeout, hint, checked)
        waiting.ask = _asking(waiting, url, question, deployment)
        waiting.diagnose = lambda: diagnosis.of_command(url, group.descendants())
        return waiting, how

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
            raise DeploymentFailed(f"{_called(name)} cannot be started: {error}") from None
        except OSError as error:
            culprit = error.filename or words[0]
            raise DeploymentFailed(
                f"{_called(name)} cannot be started: {error.strerror}: {culprit}\n"
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
                    f"{_called(name)} cannot be started: nothing can listen on {host} here "
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


def _url(name: str, deployment: UrlDeployment, headers: Sequence[dict[str, str]]) -> _Awaited:
    url, ready = deployment.url, deployment.ready
    hint = "Start it first, or write a `command` in the plan, with which brownout starts it."
    waiting = _Awaited(name, listens(url), TIMEOUT if ready else 0.0, hint)
    if ready:
        waiting.ask = _asking(waiting, url, ready.with_common([*headers]), deployment)
    waiting.diagnose = lambda: diagnosis.of_url(url)
    return waiting


def _asking(
    waiting: _Awaited, url: str, question: Question, how: CommandDeployment | UrlDeployment
) -> Callable[[], Ready | str]:
    """The question whether a service is up, which is put to nobody else."""
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
        lambda: _check_listener(waiting, url),
    )


def _all_ready(awaited: list[_Awaited], groups: Mapping[str, ProcessGroup]) -> dict[str, Ready]:
    """What each of them says of itself, once all are ready."""
    began = time.monotonic()
    hints = {one.name: one.hint for one in awaited}
    found: dict[str, Ready] = {}
    while True:
        for name, group in groups.items():
            if end := group.ended():
                words = group.last_words()
                raise DeploymentFailed(
                    f"{_called(name)} {end} while starting.{_port(words)}{words}"
                    f"\n{hints.get(name, '')}".rstrip()
                )
        for one in awaited:
            if one.name in found:
                continue
            answer = one.ask()
            if not isinstance(answer, str):
                _check_listener(one, answer["url"])
                found[one.name] = answer
            elif time.monotonic() - began > one.timeout:
                within = f" in {one.timeout:g} s" if one.timeout else ""
                words = groups[one.name].last_words() if one.name in groups else ""
                raise DeploymentFailed(
                    f"{_called(one.name)} did not become ready{within}: {_sentence(answer)}"
                    f"{_port(words)}{diagnosis.of_answer(answer)}{one.diagnose()}{words}\n{one.hint}".rstrip()
                )
        if len(found) == len(awaited):
            return found
        time.sleep(0.02)


def _check_listener(one: _Awaited, url: str) -> None:
    """
    Check who listens, before anything of the plan, such as its headers, is sent there.

    Raises:
        DeploymentFailed: a process that the group did not start.
    """
    if one.group is None:
        return
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    if host == "localhost":
        with suppress(OSError), socket.create_connection((host, port), 1.0) as connected:
            host = connected.getpeername()[0]
    # Twice: a worker can be forked between the look at the processes and that at the sockets.
    if stranger(host, port, one.group.descendants()) is None:
        return
    if (other := stranger(host, port, one.group.descendants())) is None:
        return
    raise DeploymentFailed(
        f"{_called(one.name)} was given port {port}, but {other} listens there, which it did not "
        f"start. Nothing of the plan was sent to it.{one.group.last_words()}\n"
        "If another program took the port, start again: a free one is chosen each time. If the "
        "service runs in a container or as another user, so that the listening process is not one "
        "of the command's, put check_listener = false into its table in the plan."
    )


def _sentence(text: str) -> str:
    """The text with a full stop; several lines stay as they are."""
    return text if "\n" in text else f"{text.rstrip('.')}."


def _called(name: str) -> str:
    return "the mock upstream" if name == "mock" else f"deployment {name!r}"


def _port(words: str) -> str:
    if "address already in use" not in words.lower():
        return ""
    return (
        " A port that it wants is in use: end what holds it, or have it listen on {port} alone, "
        "which is a free one each time."
    )
