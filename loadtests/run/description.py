"""The OpenAPI document of a service, of one that runs or that is started for a moment."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests import tls
from loadtests.plans import Plan, PlanError
from loadtests.processes.interrupts import interruptible
from loadtests.recording.messages import RequestSpec
from loadtests.run.deployments import running
from loadtests.run.ping import PingReply, send

PATH = "/openapi.json"
_SECONDS = 10.0
_LARGEST = 1 << 24  # bytes of a document
_DEPLOYMENT = "mine"


@dataclass(frozen=True, slots=True)
class Description:
    """`document`: None where the service has none. `ready`: a path that is answered 2xx, if any."""

    document: Any
    ready: str | None


def at(url: str) -> Description:
    """
    Return the description of a service that runs at `url`.

    Raises:
        PlanError: it gives no answer.
    """
    reply = _get(url, PATH)
    if reply.status is None:
        raise PlanError(
            f"{url} gives no answer: {reply.error}. Start the service, or correct --url."
        )
    return Description(_json(reply), None)


def of_command(command: str, variables: Sequence[str], ready: Sequence[str]) -> Description:
    """
    Return the description of a service that is started for it, with the mock as its upstream.

    Args:
        variables: that tell it the URL of its upstream.
        ready: paths that are tried, in this order, for one that is answered once it is up.

    Raises:
        PlanError, DeploymentFailed: it cannot be started, or does not listen.
    """
    plan = Plan.model_validate(
        {
            "name": "init",
            "telemetry": False,
            "deployments": {
                _DEPLOYMENT: {
                    "command": command,
                    "env": dict.fromkeys(variables, "{upstream}"),
                    # Any answer will do: whether it is FastAPI is not known yet.
                    "ready": {"path": PATH, "status": list(range(200, 600))},
                    "ready_timeout": "20s",
                }
            },
            "requests": [{"path": "/"}],
        }
    )
    with (
        tempfile.TemporaryDirectory(prefix="brownout-init-") as folder,
        interruptible(),
        running(plan, Path(folder)) as fleet,
    ):
        url = fleet.deployments[_DEPLOYMENT].url
        document = _json(_get(url, PATH))
        answered = [path for path in ready if _is_up(_get(url, path))]
        known = [PATH] if document is not None else []
        return Description(document, next(iter([*answered, *known]), None))


def _get(url: str, path: str) -> PingReply:
    spec = RequestSpec(name=path, method="GET", path=path, weight=1, timeout=_SECONDS)
    unchecked = tls.context(tls.planned(None, None), None)  # as the plan that is written has it
    return send(url.rstrip("/"), spec, _SECONDS, unchecked, keep=_LARGEST)


def _is_up(reply: PingReply) -> bool:
    return reply.status is not None and 200 <= reply.status < 300 and not reply.error


def _json(reply: PingReply) -> Any:
    """The document of an answer; None where it is none."""
    if not _is_up(reply):
        return None
    try:
        found = json.loads(reply.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "paths" in found else None
