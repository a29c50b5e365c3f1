"""What /sys says about cores: their frequency, and which of them are one."""

import pytest

from loadtests.analysis.checks.siblings import shared
from loadtests.samples import frequencies


@pytest.fixture
def cpus(tmp_path):
    """Two physical cores of two threads each, of which the last is offline."""
    files = {
        "cpufreq/cpuinfo_max_freq": "3800000",
        "cpufreq/scaling_governor": "powersave",
    }
    for core, threads in enumerate(("0,2", "1,3", "0,2")):
        for name, text in {**files, "topology/thread_siblings_list": threads}.items():
            path = tmp_path / f"cpu{core}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n", encoding="utf-8")
    return tmp_path


def test_frequencies_are_given_by_core_in_hertz(cpus):
    (cpus / "cpu1/cpufreq/cpuinfo_max_freq").write_text("800000\n", encoding="utf-8")
    assert frequencies.highest([0, 1, 3], cpus) == {0: 3.8e9, 1: 8e8}
    assert frequencies.governors([0, 3], cpus) == {0: "powersave"}


def test_threads_of_a_physical_core_are_siblings(cpus):
    assert frequencies.siblings([0, 1, 2], cpus) == [[0, 2], [1, 3]]
    (cpus / "cpu0/topology/thread_siblings_list").write_text("0-1,4\n", encoding="utf-8")
    assert frequencies.siblings([0], cpus) == [[0, 1, 4]]
    (cpus / "cpu0/topology/thread_siblings_list").write_text("0\n", encoding="utf-8")
    assert frequencies.siblings([0], cpus) == []


def test_a_system_without_information_has_no_frequency_and_no_siblings(tmp_path):
    assert frequencies.highest([0], tmp_path) == {}
    assert frequencies.siblings([0], tmp_path) == []
    (tmp_path / "cpu0/cpufreq").mkdir(parents=True)
    (tmp_path / "cpu0/cpufreq/cpuinfo_max_freq").write_text("<unknown>\n", encoding="utf-8")
    assert frequencies.highest([0], tmp_path) == {}


def used(mock, generator, apps, siblings, pinned=True):
    cores = {"mock": mock, "generator": generator, "apps": apps, "pinned": pinned}
    return {"cores_used": cores, "siblings": siblings}


def test_different_work_on_one_physical_core_is_named():
    assert shared(used([0], [0], [1], [[0, 1]])) == [
        "Cores 0 and 1 are threads of one physical core (SMT), so what runs on one of them slows "
        "the other: the load generator and the mock upstream on 0, the deployments on 1."
    ]
    [text] = shared(used([0], [1], [2, 3, 6, 7], [[0, 4], [1, 5], [2, 6], [1, 3]]))
    assert "the load generator on 1, the deployments on 3" in text


@pytest.mark.parametrize(
    "environment",
    [
        used([0], [0], [1], [[0, 2], [1, 3]]),
        used([0], [1], [2, 3], [[2, 3]]),
        used([0], [0], [1], [[0, 1]], pinned=False),
        {"cores_used": {"mock": [0], "generator": [0], "apps": [1], "pinned": True}},
        {"siblings": [[0, 1]]},
        {"cores_used": {"mock": "0", "apps": [1], "pinned": True}, "siblings": [[0, 1], 7, "x"]},
        {},
    ],
)
def test_work_on_separate_physical_cores_is_not_reported(environment):
    assert shared(environment) == []
