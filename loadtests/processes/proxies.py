"""Proxies of the environment, which take the calls of a service away from the mock."""

from collections.abc import Container, Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")


def exceptions(environment: Mapping[str, str], planned: Container[str]) -> dict[str, str]:
    """
    Return the variables with which a service calls this machine without a proxy.

    None where there is no proxy, for on macOS they would turn off the one of the system's settings,
    and none where the plan has one of them itself.

    Args:
        environment: of the service.
        planned: the variables that the plan sets.
    """
    proxies = {name for name in environment if name.lower().endswith("_proxy")}
    if not proxies.difference(_EXCEPTIONS) or any(name in planned for name in _EXCEPTIONS):
        return {}
    before = next((environment[name] for name in _EXCEPTIONS if environment.get(name)), "")
    return dict.fromkeys(_EXCEPTIONS, ",".join(filter(None, (before, *LOOPBACK))))
