"""Is the resource that was made scarce the one that is named? A confusion matrix.

    python tests/benchmarks/causes.py [--seed N] [--groups 32] [--black-box] [--why] [--out FOLDER]
    python tests/benchmarks/causes.py --again FOLDER [--outside]

Faults of fourteen kinds are drawn from a seed (tests/support/seeded_faults.py): numbers of threads,
pools, semaphores, blocking calls, CPU, clients for each request, an upstream's servers and rate
limits, naive retries, and services without a limit in range. Each is played at three levels of two
to three seconds, and the limit at the highest of them is judged. Asked: the right cause in 95 %, a
confident wrong one in at most 2 %, the predicted ceiling within 10 % of the highest throughput.

With `--black-box` the services have no telemetry. What is asked then is the same, but that
"concurrency-limit", N at a time, is right for whatever limits their number. With `--why` each
fault is put to the test by experiments as well, of a minute each: then a hidden blocking call must
be named, also in a black box, and what the experiments said of each cause is counted. 32 groups are
some 150 faults and take 40 minutes. `--again` judges runs that were kept, without playing them;
with `--outside` as if no service in them was instrumented.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[2]))

from loadtests import plans, session
from loadtests.analysis.inputs import records
from loadtests.analysis.runs import run_of
from loadtests.cli.progress import shown
from loadtests.recording.phases import PhaseSums
from loadtests.schedules import ladder, why
from tests.support.seeded_faults import drawn

RIGHT, WRONG, CLOSE = 0.95, 0.02, 0.10
INVALID = {"generator", "mock", "host", "not measured"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--groups", type=int, default=32)
    parser.add_argument("--black-box", action="store_true", help="without telemetry")
    parser.add_argument("--why", action="store_true", help="with experiments")
    parser.add_argument("--out", type=Path, help="keep the runs' folders here")
    parser.add_argument("--again", type=Path, help="judge the runs that are kept here")
    parser.add_argument("--outside", action="store_true", help="... without what was told")
    options = parser.parse_args()
    if options.again:
        sys.exit(not report(list(again(options.again, options.outside))))
    keep = nullcontext(options.out) if options.out else tempfile.TemporaryDirectory()
    with keep as folder:
        asked = options.black_box, options.why
        found = played(Path(folder), options.seed, options.groups, *asked)
        sys.exit(not report(list(found)))


def played(folder, seed, groups, black_box, experiments=False):
    folder.mkdir(parents=True, exist_ok=True)
    for group in drawn(seed, groups):
        file = folder / f"{group.number}.toml"
        file.write_text(group.plan(not black_box), encoding="utf-8")
        plan = plans.read(file)
        schedule = why.why(plan, list(plan.deployments)) if experiments else ladder
        with shown(Console(stderr=True)) as observer:
            outcome = session.run(plan, folder, observer, [], schedule)
        note = {"seed": seed, "groups": groups, "group": group.number, "black_box": black_box}
        (outcome.folder / "drawn.json").write_text(json.dumps(note), encoding="utf-8")
        yield from judged(group, outcome.run, black_box)


def again(folder, outside):
    for note in sorted(folder.glob("*/drawn.json")):
        which = json.loads(note.read_text(encoding="utf-8"))
        group = drawn(which["seed"], which["groups"])[which["group"]]
        record = records.read(note.parent)
        if outside:
            silence(record)
        yield from judged(group, run_of(record), outside or which["black_box"])


def silence(record):
    """Take out of it what the services told."""
    for sample in record.samples:
        sample.pop("gauges", None)
    for stage in [*record.stages, *record.probes]:
        for part in stage.slices:
            part.phases = PhaseSums()


def judged(group, run, black_box):
    """(kind, right causes, the cause that was named, ceiling over throughput) of each fault."""
    for index, fault in enumerate(group.faults):
        name = group.name(index)
        points = run.of(name)
        right = fault.outside if black_box else fault.causes
        tried = [one for one in run.experiments if one.deployment == name]
        if tried and fault.kind == "hidden":
            right = fault.causes
        if not points:
            yield fault.kind, right, "not measured", None
            continue
        top = points[-1]
        limit = top.limit
        cause = limit.resource if limit else None if top.valid else "not measured"
        ratio = None
        if limit and limit.ceiling and cause in right and fault.kind != "storm":
            ratio = limit.ceiling / max(point.throughput.value for point in points if point.valid)
        good = cause in right
        text = limit.why if limit else "follows the load"
        mark = "  " if good else "- "
        problems = "" if top.valid else f" (invalid: {'; '.join(top.problems)})"
        for one in tried:
            COUNTS[fault.kind, one.kind, said(one, right)] += 1
            text = f"{text}; {one.why} ({one.verdict})"
        print(
            f"{mark}{group.number:3} {name:18} {fault.settings | fault.extra}: {cause}: {text}"
            f"{f' [{ratio:.2f}]' if ratio else ''}{problems}",
            flush=True,
        )
        yield fault.kind, right, cause, ratio


COUNTS = Counter()
"""What the experiments said of each kind of fault, and whether that is true."""


def said(experiment, right):
    """Whether a verdict on the cause that was named before is true."""
    true = {"confirmed": experiment.tested in right, "refuted": experiment.tested not in right}
    known = true.get(experiment.verdict)
    return "cannot tell" if known is None else ("right" if known else "wrong")


def report(found):
    """Print the matrix and what was asked."""
    experiments(COUNTS)
    causes = sorted({str(cause) for _, _, cause, _ in found})
    counts = Counter((kind, str(cause)) for kind, _, cause, _ in found)
    print("\n" + f"{'put there':18}" + "".join(f"{cause:>13}" for cause in causes))
    for kind in dict.fromkeys(kind for kind, *_ in found):
        cells = "".join(f"{counts[kind, cause] or '.':>13}" for cause in causes)
        print(f"{kind:18}{cells}")
    usable = [row for row in found if row[2] not in INVALID]
    spoilt = len(found) - len(usable)
    right = sum(cause in causes for _, causes, cause, _ in usable)
    wrong = sum(
        cause not in causes and cause not in (None, "unknown") for _, causes, cause, _ in usable
    )
    ratios = [ratio for *_, ratio in usable if ratio]
    close = sum(abs(ratio - 1) <= CLOSE for ratio in ratios)
    total, kinds = len(usable) or 1, len({row[0] for row in found})
    asked = [
        ("faults", "at least 200", f"{len(found)}", len(found) >= 200),
        ("kinds", "at least 14", f"{kinds}", kinds >= 14),
        ("not measurable", "(told only)", f"{spoilt}", True),
        ("right cause", "95 %", f"{right} of {total}", right >= RIGHT * total),
        ("confident and wrong", "at most 2 %", f"{wrong} of {total}", wrong <= WRONG * total),
        ("ceiling within 10 %", "95 %", f"{close} of {len(ratios)}", close >= RIGHT * len(ratios)),
    ]
    print()
    for what, wanted, got, good in asked:
        print(f"{what:24} {wanted:14} {got:14} {'ok' if good else 'MISSED'}")
    return all(good for *_, good in asked)


def experiments(counts):
    """Print what the experiments said, if there were any."""
    if not counts:
        return
    words = ("right", "wrong", "cannot tell")
    print("\n" + f"{'experiment with':28}" + "".join(f"{word:>13}" for word in words))
    for kind, what in sorted({(kind, what) for kind, what, _ in counts}):
        cells = "".join(f"{counts[kind, what, word] or '.':>13}" for word in words)
        print(f"{f'{kind}, {what}':28}{cells}")


if __name__ == "__main__":
    main()
