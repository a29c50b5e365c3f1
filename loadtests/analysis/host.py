"""Whether the machine left the generator, the mock and the deployment the time that they needed.

Told by the samples that lie in the windows, as means over them, so that no single second condemns a
point. What another system, or an older version, did not sample is not judged.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from loadtests.analysis import other_work, quotas, sampling, stops
from loadtests.analysis.other_work import OtherProcess
from loadtests.analysis.records import StageRecord
from loadtests.analysis.resources import Sample, inside
from loadtests.analysis.validity import BUSY, Validity, spoilt
from loadtests.analysis.words import duration, percent
from loadtests.results import Resource

GENERATOR, MOCK = "generator", "mock"

WAIT = 0.0003
"""
Seconds in the mean that a process waited for its core each time that it had something to do. It is
0.003 to 0.05 ms where the core is free, 0.1 to 3 ms where another process uses it up: by how long a
slice of time the scheduler gives, and how soon it takes it away.
"""
WAIT_SHARE = 0.02
"""... as a part of the median response time: every answer waits once for the generator."""

OTHERS = 0.25
"""
Of the cores in question, used by processes that are not ours. With less, most of what comes finds
the core free, and what does not waits for a part of a slice; the desktop and the agents of a build
machine use some hundredths.
"""
OTHERS_FULL = 0.05
"""
... where the cores are full (`BUSY`): there it is taken from ours, and throughput falls by as much.
CPU time is counted in ticks: a window of five seconds knows it to 0.005.
"""

STOLEN = 0.05
"""
Of a core, by the host of this virtual machine. It stops everything on the core at once, the clocks'
readers included. One hundredth or two are usual where cores are shared.
"""

THROTTLED = 0.01
"""
Of the periods of a CPU quota, in which it stopped whatever wanted to run. A period is mostly a
tenth of a second: what waits for the end of one in a hundred is a tail that is not the service's.
"""

UNSEEN = 0.01
"""
Cores. A deployment's command that uses less is perhaps only the client of a container, whose own
processes are then the "others", as those of a service are that ran before: that is told, and
condemns nothing.
"""

PORTS = 0.5
"""Of the ports for outgoing connections, held by closed ones for a minute each."""


def of_quota(records: Sequence[StageRecord], samples: Sequence[Sample]) -> Validity:
    """
    Judge whether a CPU quota held the windows of one (deployment, level) up.

    That generator, mock and service were late then comes of it, so it is asked first.
    """
    seen = [
        found.quota
        for record in records
        for _, sample in inside(record, samples)
        if (found := _Host.of(sample)) is not None and found.quota is not None
    ]
    stopped = sum(one.throttled for one in seen)
    periods = sum(one.periods for one in seen)
    if stopped <= THROTTLED * periods:
        return Validity()
    cores = f"{min(one.cores for one in seen):g}"
    what = (
        f"a CPU quota of {cores} core{'' if cores == '1' else 's'} stopped the load generator, the "
        f"mock upstream and the deployment in {percent(stopped / periods)} of its periods"
    )
    return Validity(valid=False, problems=(what,), limit=spoilt("host", [what]))


def of_host(
    records: Sequence[StageRecord], samples: Sequence[Sample], median: float | None
) -> Validity:
    """
    What the samples say about the windows of one (deployment, level).

    Args:
        median: of the response times; None: there are not enough.
    """
    hosts = [
        host
        for record in records
        for _, sample in inside(record, samples)
        if (host := _Host.of(sample)) is not None
    ]
    sampled = stops.of_windows(records, samples).and_of(sampling.of_windows(records, samples))
    if not hosts:
        return sampled
    means = _Means(hosts)
    deployment = records[0].stage.deployment
    others = _others(means, deployment)
    # Why a process waited says more than that it did.
    waiting = [name for name in (GENERATOR, MOCK) if name not in others.named]
    reasons: Mapping[Resource, Sequence[str | None]] = {
        "generator": [_near_limit(means)],
        "host": [
            *others.wrong,
            *(_waiting(means, name, median) for name in waiting),
            _stolen(means, deployment),
        ],
    }
    sampled = sampled.and_of(_descriptors(hosts, deployment))
    found = [text for texts in reasons.values() for text in texts if text]
    limits = [spoilt(resource, texts) for resource, texts in reasons.items()]
    return Validity(
        not found,
        (*found, *others.notes, *quotas.notes(records, samples), *_ports(hosts)),
        next(filter(None, limits), None),
    ).and_of(sampled)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Process(_Part):
    cpu: float = 0.0
    wait: float | None = None
    runs: float = 0.0
    spare_descriptors: int | None = None
    affinity: frozenset[int] = frozenset()


class _Ports(_Part):
    time_wait: int
    of: int


class _Quota(_Part):
    cores: float
    periods: int
    throttled: int


class _Host(_Part):
    """What one sample says of the machine; see samples.Sampler."""

    cores: tuple[float, ...] = ()
    worked: tuple[float, ...] = ()
    stolen: tuple[float, ...] = ()
    processes: dict[str, _Process] = {}
    harness: _Process | None = None
    ports: _Ports | None = None
    quota: _Quota | None = None
    others: tuple[OtherProcess, ...] = ()

    @classmethod
    def of(cls, sample: Sample) -> Self | None:
        """None: it is of another version and cannot be read."""
        try:
            return cls.model_validate(sample)
        except ValidationError:
            return None

    @property
    def ours(self) -> Mapping[str, _Process]:
        return {**self.processes, **({"": self.harness} if self.harness else {})}


class _Means:
    """Of the samples in the windows, each a second long."""

    def __init__(self, hosts: Sequence[_Host]) -> None:
        self.hosts = hosts
        self.affinity: dict[str, frozenset[int]] = {}
        for host in hosts:
            for name, process in host.ours.items():
                if process.affinity:
                    self.affinity[name] = process.affinity

    def cpu(self, name: str) -> float:
        return _mean(host.ours[name].cpu for host in self.hosts if name in host.ours)

    def wait(self, name: str) -> float:
        """Seconds that it waited for a core, each time that it was given one."""
        seen = [host.ours[name] for host in self.hosts if name in host.ours]
        runs = sum(process.runs for process in seen)
        return sum(process.wait or 0.0 for process in seen) / runs if runs else 0.0

    def busy(self, cores: frozenset[int]) -> float:
        return _mean(_share(host.cores, cores) for host in self.hosts)

    def stolen(self, cores: frozenset[int]) -> float:
        return _mean(_share(host.stolen, cores) for host in self.hosts)

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

    way_out = "had no file descriptor left: raise the limit of open files (`ulimit -n`)"
    names = {MOCK: "the mock upstream", deployment: "the deployment"}
    problems = tuple(f"{called} {way_out}" for name, called in names.items() if out(name))
    return Validity(not out(MOCK), problems)


def _near_limit(means: _Means) -> str | None:
    """What shares the generator's only core is judged together: to wait for it is to be late."""
    core = means.affinity.get(GENERATOR, frozenset())
    if len(core) != 1:
        return None  # a process has one core at most, which it tells of itself
    sharing = [name for name, where in means.affinity.items() if where == core]
    used = sum(means.cpu(name) for name in sharing)
    if len(sharing) < 2 or used <= BUSY:
        return None
    others = "the mock upstream" if MOCK in sharing else "the deployment"
    return (
        f"the load generator was the bottleneck: it shares a core with {others}, and together they "
        f"used {percent(used)} of it"
    )


def _others(means: _Means, deployment: str) -> "_Others":
    here = means.affinity.get(deployment)
    called = {
        GENERATOR: "the load generator",
        MOCK: "the mock upstream",
        deployment: "the deployment",
    }
    wrong, notes, named = [], [], set[str]()
    for cores in dict.fromkeys(means.affinity[name] for name in called if name in means.affinity):
        part = means.others(cores)
        if part <= (OTHERS_FULL if means.busy(cores) > BUSY else OTHERS):
            continue
        names = [name for name in called if means.affinity.get(name) == cores]
        who = " and ".join(called[name] for name in names)
        verb = "runs" if len(names) == 1 else "run"
        where = f"{percent(part)} of {_named(cores)}, where {who} {verb}"
        if which := other_work.named([host.others for host in means.hosts], cores):
            where += f": {which}"
        if here is None or (here & cores and means.cpu(deployment) < UNSEEN):
            notes.append(f"processes that brownout did not start used {where}")
            continue
        named.update(names)
        wrong.append(f"the machine was busy with something else: it used {where}")
    return _Others(wrong, notes, named)


@dataclass(frozen=True, slots=True)
class _Others:
    """Use by processes that are not ours: reasons and notes; `named` had to share with them."""

    wrong: Sequence[str]
    notes: Sequence[str]
    named: Set[str]


def _named(cores: frozenset[int]) -> str:
    if len(cores) == 1:
        return f"core {min(cores)}"
    return f"the cores {min(cores)} to {max(cores)}"


def _waiting(means: _Means, name: str, median: float | None) -> str | None:
    waited = means.wait(name)
    if median is None or waited <= max(WAIT, WAIT_SHARE * median):
        return None
    called = "load generator" if name == GENERATOR else "mock upstream"
    return (
        f"the {called} was short of CPU: it waited {duration(waited, 2)} for its core each time, "
        f"against a p50 of {duration(median)}"
    )


def _stolen(means: _Means, deployment: str) -> str | None:
    names = (GENERATOR, MOCK, deployment)
    parts = [means.stolen(means.affinity.get(name, frozenset())) for name in names]
    if (part := max(parts)) <= STOLEN:
        return None
    return f"the machine was busy with something else: its host took {percent(part)} of a core"


def _ports(hosts: Sequence[_Host]) -> Iterable[str]:
    held, of = max(((h.ports.time_wait, h.ports.of) for h in hosts if h.ports), default=(0, 1))
    if held > PORTS * of:
        yield (
            f"{held:,} closed connections held a port, of {of:,}: connections are not kept, and "
            "ports may run out"
        )
