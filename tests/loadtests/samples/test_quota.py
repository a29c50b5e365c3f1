"""CPU quotas of control groups are read as the kernel writes them, and named as the reason."""

import pytest

from loadtests import environment
from loadtests.analysis.causes.demand import usable_cores
from loadtests.analysis.causes.observations import Observation
from loadtests.analysis.checks import quotas
from loadtests.samples import Sampler, quota
from loadtests.samples.quota import Quota
from tests.loadtests.analysis.test_host import OURS, judged

V2 = "36 25 0:31 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
STAT_2 = "usage_usec 9\nnr_periods 120\nnr_throttled 36\nthrottled_usec 500000\n"
STAT_1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 700000000\n"


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
    assert quota.quota(root) == Quota(0.6, 120, 36, 0.5)


def test_the_quota_of_a_container_is_at_the_root_of_its_mount(tmp_path):
    mount = V2.replace(" / /sys", " /docker/abc /sys")
    files = {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/cpu.stat": STAT_2}
    root = machine(tmp_path, mount, "0::/docker/abc\n", **files)
    assert quota.quota(root) == Quota(1.5, 120, 36, 0.5)


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
    assert quota.quota(root) == Quota(0.5, 10, 3, 0.7)


@pytest.mark.parametrize(
    ("mounts", "cgroup"),
    [("", ""), (V2, "0::/job\n"), (V1, "0::/job\n"), ("nonsense", "x"), (V2, "0::/../..\n")],
)
def test_an_unknown_quota_is_none(tmp_path, mounts, cgroup):
    assert quota.quota(machine(tmp_path, mounts, cgroup)) is None
    assert quota.quota(tmp_path / "nothing") is None


@pytest.mark.processes  # uname and git
def test_a_quota_is_part_of_the_environment(monkeypatch):
    monkeypatch.setattr(environment, "quota", lambda: Quota(0.6, 0, 0))
    assert environment.facts(1)["cpu_quota"] == 0.6
    monkeypatch.setattr(environment, "quota", lambda: None)
    assert "cpu_quota" not in environment.facts(1)


def test_a_window_in_which_a_quota_stopped_everything_for_long_is_not_valid_and_says_so():
    late = OURS | {"generator": OURS["generator"] | {"wait": 0.5, "runs": 10.0}}
    limited = {"cores": 0.6, "periods": 10, "throttled": 4}
    found = judged(cores=[0.34, 0.55], quota=limited, **late)
    assert not found.valid
    assert found.problems[0].startswith(
        "the machine was busy with something else: a CPU quota stopped everything for 40 % of the "
        "time: throughput can be "
    )
    assert (found.limit.resource, found.limit.why) == ("host", found.problems[0])


def test_a_quota_that_stopped_nothing_invalidates_nothing():
    limited = {"cores": 2.0, "periods": 10, "throttled": 0}
    found = judged(cores=[0.34, 0.55], quota=limited, **OURS)
    assert (found.valid, found.problems) == (True, [])


@pytest.fixture
def two_groups(tmp_path):
    """A harness in a group with a quota, and a container next to it whose quota is lower."""
    groups = {"ci/job": "200000", "ci/job/box": "50000"}
    files = {
        f"sys/fs/cgroup/{name}/{file}": text
        for name, most in groups.items()
        for file, text in {"cpu.max": f"{most} 100000\n", "cpu.stat": STAT_2}.items()
    }
    files |= {"proc/8/cgroup": "0::/ci/job/box\n", "proc/9/cgroup": "0::/ci/job\n"}
    return machine(tmp_path, V2, "0::/ci/job\n", **files)


def test_a_deployment_in_a_group_of_its_own_has_the_quota_of_that_group(two_groups):
    named = {"boxed": [9, 8], "plain": [9], "gone": [99], "none": []}
    found = quota.own_quotas(named, two_groups)
    assert found == {"boxed": Quota(0.5, 120, 36, 0.5)}
    assert quota.quota(two_groups) == Quota(2.0, 120, 36, 0.5)
    (two_groups / "sys/fs/cgroup/ci/job/box/cpu.max").write_text("max 100000\n", encoding="utf-8")
    assert quota.own_quotas(named, two_groups) == {}


def test_a_sample_has_what_each_quota_did_since_the_one_before(two_groups, monkeypatch):
    monkeypatch.setattr(quota.quota, "__defaults__", (two_groups,))
    monkeypatch.setattr(quota.own_quotas, "__defaults__", (two_groups,))
    sampler = Sampler(dict, None, lambda sample: None)
    fleet, processes = {"boxed": [8], "plain": [9]}, {"boxed": {}, "plain": {}}
    assert sampler._limits(fleet, processes) == {}
    counts = "nr_periods 130\nnr_throttled 40\nthrottled_usec 750000\n"
    (two_groups / "sys/fs/cgroup/ci/job/box/cpu.stat").write_text(counts, encoding="utf-8")
    told = sampler._limits(fleet, processes)
    assert told == {"quota": {"cores": 2.0, "periods": 0, "throttled": 0, "stopped": 0.0}}
    own = {"cores": 0.5, "periods": 10, "throttled": 4, "stopped": 0.25}
    assert processes == {"boxed": {"quota": own}, "plain": {}}


def test_counts_of_another_group_are_not_subtracted(two_groups):
    before, after = Quota(1.0, 5, 5, 1.0, two_groups), Quota(1.0, 9, 9, 2.0, two_groups / "box")
    assert after.since(before) is None
    assert after.since(None) is None


OWN = {"cores": 0.5, "periods": 10, "throttled": 4, "stopped": 0.2}


def test_a_quota_of_the_deployment_alone_is_reported_and_invalidates_nothing():
    boxed = OURS | {"app": OURS["app"] | {"quota": OWN}}
    found = judged(cores=[0.34, 0.55], **boxed)
    assert found.valid
    assert found.problems == [
        "the deployment's own CPU quota of 0.5 cores stopped it in 40 % of the quota's periods"
    ]
    rarely = OURS | {"app": OURS["app"] | {"quota": OWN | {"throttled": 0}}}
    assert judged(cores=[0.34, 0.55], **rarely).problems == []


def test_a_deployment_cannot_use_more_cores_than_its_own_quota_allows():
    point = judged(cores=[0.34, 0.55], **OURS)
    assert usable_cores(Observation(point=point, rate=1.0, usable=2.0, quota=0.5)) == 0.5
    assert usable_cores(Observation(point=point, rate=1.0, usable=1.0, quota=1.5)) == 1.0
    assert usable_cores(Observation(point=point, rate=1.0, cores=2)) == 2
    samples = [{"processes": {"app": {"quota": OWN}}}, {"processes": {"app": {"quota": 7}}}, {}]
    assert quotas.cores("app", samples) == 0.5
    assert quotas.cores("mock", samples) is None
