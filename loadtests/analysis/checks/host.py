"""Whether the generator and the mock had cores, descriptors and ports enough.

Told by the samples that lie in the windows, as means over them, so that no single second condemns a
point. What another system, or an older version, did not sample is not judged. What was taken from
the cores of ours is not judged here: see noise.
"""

from collections.abc import Iterable, Mapping, Sequence

from loadtests.analysis.checks import other_work, quotas, sampling
from loadtests.analysis.checks.disturbances import GENERATOR, MOCK, UNSEEN
from loadtests.analysis.checks.generator import BUSY, Validity, spoilt
from loadtests.analysis.checks.other_work import OtherProcess
from loadtests.analysis.inputs.records import StageRecord
from loadtests.analysis.inputs.resources import inside
from loadtests.analysis.inputs.sample_parts import Sample, SampledProcesses, SamplePart
from loadtests.analysis.numbers import percent

OTHERS = 0.25
"""
Of the cores in question, used by processes that are not ours and cannot be told from a service that
is not seen. That is a note; what others took while ours waited is in `disturbances`.
"""

PORTS = 0.5
"""Of the ports for outgoing connections, held by closed ones for a minute each."""


def of_host(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Validity:
    """What the samples say about the windows of one (deployment, level)."""
    hosts = [
        host
        for record in records
        for _, sample in inside(record, samples)
        if (host := _Host.read(sample)) is not None
    ]
    sampled = sampling.of_windows(records, samples)
    if not hosts:
        return sampled
    means = _Means(hosts)
    deployment = records[0].stage.deployment
    near = _near_limit(means)
    return Validity(
        near is None,
        (
            *([near] if near else ()),
            *_others(means, deployment),
            *quotas.notes(records, samples),
            *_ports(hosts),
        ),
        spoilt("generator", [near]),
    ).and_of(sampled.and_of(_descriptors(hosts, deployment)))


def of_mock(used: Mapping[str, float]) -> Validity:
    """
    Whether the mock had no CPU left.

    Args:
        used: see `resources`.
    """
    share = used.get("mock_cpu", 0.0)
    if share <= BUSY:
        return Validity()
    why = f"the mock upstream was the bottleneck: it used {percent(share)} of a core"
    return Validity(False, (why,), spoilt("mock", [why]))


class _Ports(SamplePart):
    time_wait: int
    of: int


class _Host(SampledProcesses):
    """What one sample says of the machine."""

    cores: tuple[float, ...] = ()
    worked: tuple[float, ...] = ()
    ports: _Ports | None = None
    others: tuple[OtherProcess, ...] = ()


class _Means:
    """Means of the samples in the windows; each sample is one second."""

    def __init__(self, hosts: Sequence[_Host]) -> None:
        self.hosts = hosts
        self.affinity: dict[str, frozenset[int]] = {}
        for host in hosts:
            for name, process in host.ours.items():
                if process.affinity:
                    self.affinity[name] = process.affinity

    def cpu(self, name: str) -> float:
        return _mean(host.ours[name].cpu for host in self.hosts if name in host.ours)

    def others(self, cores: frozenset[int]) -> float:
        """The part of these cores that processes used which are not ours."""
        worked = _mean(_share(host.worked, cores) for host in self.hosts) * len(cores)
        # One that may run elsewhere, too, counts as if it were always here.
        ours = sum(self.cpu(name) for name, where in self.affinity.items() if where & cores)
        return max(worked - ours, 0.0) / len(cores)


def _mean(values: Iterable[float]) -> float:
    seen = list(values)
    return sum(seen) / len(seen) if seen else 0.0


def _share(values: Sequence[float], cores: frozenset[int]) -> float:
    known = [values[core] for core in cores if core < len(values)]
    return _mean(known)


def _descriptors(hosts: Sequence[_Host], deployment: str) -> Validity:
    """A mock without descriptors refuses calls; that a service has none is a finding about it."""

    def out(name: str) -> bool:
        seen = [host.processes[name] for host in hosts if name in host.processes]
        return any(process.spare_descriptors == 0 for process in seen)

    hint = "had no file descriptor left: raise the limit of open files (`ulimit -n`)"
    names = {MOCK: "the mock upstream", deployment: "the deployment"}
    problems = tuple(f"{called} {hint}" for name, called in names.items() if out(name))
    return Validity(not out(MOCK), problems)


def _near_limit(means: _Means) -> str | None:
    """What shares the generator's only core is judged together: to wait for it is to be late."""
    core = means.affinity.get(GENERATOR, frozenset())
    if len(core) != 1:
        return None  # a process has one core at most, which it reports itself
    sharing = [name for name, where in means.affinity.items() if where == core]
    used = sum(means.cpu(name) for name in sharing)
    if len(sharing) < 2 or used <= BUSY:
        return None
    others = "the mock upstream" if MOCK in sharing else "the deployment"
    return (
        f"the load generator was the bottleneck: it shares a core with {others}, and together they "
        f"used {percent(used)} of it"
    )


def _others(means: _Means, deployment: str) -> Iterable[str]:
    """What may be the service's own work, where that is not seen."""
    here = means.affinity.get(deployment)
    called = {
        GENERATOR: "the load generator",
        MOCK: "the mock upstream",
        deployment: "the deployment",
    }
    for cores in dict.fromkeys(means.affinity[name] for name in called if name in means.affinity):
        part = means.others(cores)
        hidden = here is None or (here & cores and means.cpu(deployment) < UNSEEN)
        if part <= OTHERS or not hidden:
            continue
        names = [name for name in called if means.affinity.get(name) == cores]
        who = " and ".join(called[name] for name in names)
        verb = "runs" if len(names) == 1 else "run"
        where = f"{percent(part)} of {_named(cores)}, where {who} {verb}"
        if which := other_work.named([host.others for host in means.hosts], cores):
            where += f": {which}"
        yield f"processes that brownout did not start used {where}"


def _named(cores: frozenset[int]) -> str:
    if len(cores) == 1:
        return f"core {min(cores)}"
    return f"the cores {min(cores)} to {max(cores)}"


def _ports(hosts: Sequence[_Host]) -> Iterable[str]:
    held, of = max(((h.ports.time_wait, h.ports.of) for h in hosts if h.ports), default=(0, 1))
    if held > PORTS * of:
        yield (
            f"{held:,} closed connections held a port, of {of:,}: connections are not kept, and "
            "ports may run out"
        )
