"""What other systems lack or refuse, as test doubles: macOS above all."""

import os
import resource

import pytest

from loadtests import environment
from loadtests.processes import open_files
from loadtests.processes.affinity import Cores


@pytest.mark.processes  # uname and git
def test_the_environment_is_described_without_affinity_and_load(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    found = environment.facts(1)
    assert found["cores"] == os.cpu_count()
    assert "load" not in found


@pytest.mark.processes  # uname and git
def test_the_environment_is_described_where_the_system_refuses_facts(monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "sched_getaffinity", refuse, raising=False)
    monkeypatch.setattr(os, "getloadavg", refuse)
    assert environment.facts(1)["cores"] == os.cpu_count()
    assert "load" not in environment.facts(1)
    found = Cores.here()
    assert not found.pinned
    assert found.apps


@pytest.mark.parametrize("most", [1 << 16, 10240, 256])
def test_the_limit_of_files_is_raised_as_far_as_the_system_takes_it(monkeypatch, most):
    """macOS reports `unlimited`, and refuses more than kern.maxfilesperproc."""
    held = [256, resource.RLIM_INFINITY]

    def set_to(_, limits):
        if limits[0] > most:
            raise ValueError("current limit exceeds maximum limit")
        held[:] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(held))
    monkeypatch.setattr(resource, "setrlimit", set_to)
    open_files.raise_limit()
    assert held[0] == most


def test_a_limit_of_files_is_never_lowered(monkeypatch):
    held = [1 << 18, 1 << 20]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(held))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: held.__setitem__(0, limits[0]))
    open_files.raise_limit()
    assert held[0] == 1 << 18
