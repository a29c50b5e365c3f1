"""CPU that others take of the cores of a run is what is left of busy cores."""

import os
import time

import pytest

from loadtests.recording.messages import Taken
from loadtests.samples import taken
from loadtests.samples.taken import Takers
from tests.end_to_end.test_barrier import burner

if not hasattr(os, "sched_getaffinity"):
    pytest.skip("processes are not bound to cores here", allow_module_level=True)


@pytest.fixture
def machine(monkeypatch):
    """Two cores, and processes with the cores that they may use and the CPU that they used."""
    state = {
        "now": 100.0,
        "cores": [(50.0, 1.0), (50.0, 1.0)],
        "ours": {1: ({0}, 5.0), 2: ({1}, 6.0), os.getpid(): ({0}, 7.0)},
    }
    monkeypatch.setattr(time, "monotonic", lambda: state["now"])
    monkeypatch.setattr(taken, "_cores", lambda: list(state["cores"]))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: state["ours"][pid][0])
    monkeypatch.setattr(taken, "cpu_clock", lambda pid: state["ours"][pid][1])
    return state


def test_use_by_others_is_core_time_without_that_of_own_processes(machine) -> None:
    takers = Takers(lambda: {"mock": [1], "app": [2]})
    takers.begin()
    machine["now"] += 2.0
    machine["cores"] = [(50.5, 1.0), (51.0, 1.2)]
    machine["ours"] = {1: ({0}, 5.6), 2: ({1}, 6.4), os.getpid(): ({0}, 7.1)}
    assert takers.end() == (
        Taken(cores=(0,), others=0.4, stolen=0.0),
        Taken(cores=(1,), others=0.2, stolen=0.1),
    )


def test_cores_that_a_process_can_choose_are_counted_together(machine) -> None:
    machine["ours"][2] = ({0, 1}, 6.0)
    takers = Takers(lambda: {"mock": [1], "app": [2]})
    takers.begin()
    machine["now"] += 2.0
    assert takers.end() == (Taken(cores=(0, 1), others=1.0, stolen=0.0),)


@pytest.mark.parametrize("cores", [[], [(50.0, 1.0)]])
def test_without_information_of_the_system_nothing_is_reported(machine, cores) -> None:
    takers = Takers(lambda: {"mock": [1], "app": [2]})
    takers.begin()
    machine["now"] += 2.0
    machine["cores"] = cores
    assert takers.end() == ()


@pytest.mark.processes
def test_a_foreign_process_takes_the_cpu_that_it_used() -> None:
    with burner() as other:
        takers = Takers(dict)
        takers.begin()
        used = other.does("burn(0.2)")
        found = takers.end()
    cores = sum(len(one.cores) for one in found)
    assert cores == len(os.sched_getaffinity(0))
    assert all(0 <= one.others <= 1 for one in found)
    assert used >= 0.2
    assert any(one.others > 0 for one in found)
