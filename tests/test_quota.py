"""CPU quotas of control groups are read as the kernel writes them, and named as the reason."""

import pytest
from test_analysis_host import OURS, judged

from loadtests import environment
from loadtests.samples import quota
from loadtests.samples.quota import Quota

V2 = "36 25 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
STAT_2 = "usage_usec 9\nnr_periods 120\nnr_throttled 36\nthrottled_usec 5\n"
STAT_1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 700\n"


def machine(root, mounts, cgroup, **files):
    """A tree of the files that Linux would have."""
    written = {"proc/self/mountinfo": mounts, "proc/self/cgroup": cgroup, **files}
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_the_quota_of_the_second_version_is_the_strictest_upwards(tmp_path):
    root = machine(
        tmp_path,
        V2,
        "0::/user.slice/job\n",
        **{
            "sys/fs/cgroup/user.slice/cpu.max": "60000 100000\n",
            "sys/fs/cgroup/user.slice/cpu.stat": STAT_2,
            "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/job/cpu.stat": "usage_usec 9\n",
        },
    )
    assert quota.quota(root) == Quota(0.6, 120, 36)


def test_the_quota_of_a_container_is_at_the_root_of_its_mount(tmp_path):
    mount = V2.replace(" / /sys", " /docker/abc /sys")
    files = {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.stat": STAT_2}
    root = machine(tmp_path, mount, "0::/docker/abc\n", **files)
    assert quota.quota(root) == Quota(1.5, 120, 36)


def test_the_quota_of_the_first_version_is_that_of_the_controller(tmp_path):
    group = "sys/fs/cgroup/cpu,cpuacct/job"
    root = machine(
        tmp_path,
        V1,
        "3:cpu,cpuacct:/job\n4:memory:/elsewhere\n0::/\n",
        **{
            f"{group}/cpu.cfs_quota_us": "25000\n",
            f"{group}/cpu.cfs_period_us": "50000\n",
            f"{group}/cpu.stat": STAT_1,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        },
    )
    assert quota.quota(root) == Quota(0.5, 10, 3)


@pytest.mark.parametrize(
    ("mounts", "cgroup"),
    [("", ""), (V2, "0::/job\n"), (V1, "0::/job\n"), ("nonsense", "x"), (V2, "0::/../..\n")],
)
def test_where_no_quota_is_known_there_is_none(tmp_path, mounts, cgroup):
    assert quota.quota(machine(tmp_path, mounts, cgroup)) is None
    assert quota.quota(tmp_path / "nothing") is None


@pytest.mark.processes  # uname and git
def test_a_quota_is_told_in_the_environment(monkeypatch):
    monkeypatch.setattr(environment, "quota", lambda: Quota(0.6, 0, 0))
    assert environment.facts(1)["cpu_quota"] == 0.6
    monkeypatch.setattr(environment, "quota", lambda: None)
    assert "cpu_quota" not in environment.facts(1)


def test_a_window_in_which_a_quota_stopped_everything_is_not_valid_and_says_so_first():
    late = OURS | {"generator": OURS["generator"] | {"wait": 0.5, "runs": 10.0}}
    limited = {"cores": 0.6, "periods": 10, "throttled": 4}
    found = judged(cores=[0.34, 0.55], quota=limited, **late)
    assert not found.valid
    assert found.problems[0] == (
        "a CPU quota of 0.6 cores stopped the load generator, the mock upstream and the deployment "
        "in 40 % of its periods"
    )
    assert (found.limit.resource, found.limit.why) == ("host", found.problems[0])


def test_a_quota_that_stopped_nothing_spoils_nothing():
    limited = {"cores": 2.0, "periods": 10, "throttled": 0}
    found = judged(cores=[0.34, 0.55], quota=limited, **OURS)
    assert (found.valid, found.problems) == (True, [])
