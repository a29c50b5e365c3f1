"""How much CPU it takes to write the report of the default run.

    python tests/benchmarks/report_cpu.py RUN [--rounds 5] [--before PYTHON]

RUN is the folder of a `brownout run`, of 21 stages. Asked: at most 0.7 s of CPU, of all threads,
the median over the rounds. A new process reads and analyses the run, imports what the report needs,
and then writes it into an empty folder, which alone is counted, with the process that draws. What
that process takes to start and to draw next to nothing is shown apart. With --before the Python of
another installation takes turns with this one, in the same rounds.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

MOST = 0.7
PARTS = ("whole", "engine", "analysis")
WRITES = """
import json, pkgutil, resource, sys, tempfile
from importlib import import_module
from pathlib import Path
from loadtests.report import outputs, writing
from loadtests.analysis.runs import analyse
for module in pkgutil.iter_modules(outputs.__path__):
    import_module(f"loadtests.report.outputs.{module.name}")
try:
    from loadtests.report.charts.pictures import close, svg
except ImportError:  # earlier versions draw in their own process
    import vl_convert
    close, svg = (lambda: None), (lambda chart, config: vl_convert.vegalite_to_svg(chart))
def used():
    found = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in found)
begun = used()
run = analyse(Path(sys.argv[1]))
analysed = used()
with tempfile.TemporaryDirectory() as folder:
    writing.write(run, Path(folder))
close()
written = used()
svg({"mark": "point", "data": {"values": [{}]}}, {})
close()
found = {"analysis": analysed - begun, "engine": used() - written, "whole": written - analysed}
print(json.dumps(found))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", metavar="PYTHON", help="of another installation")
    arguments = parser.parse_args()
    pythons = {"now": sys.executable}
    if arguments.before:
        pythons = {"before": arguments.before, **pythons}
    taken = {name: [] for name in pythons}
    for _ in range(arguments.rounds):
        for name, python in pythons.items():
            words = [python, "-c", WRITES, str(Path(arguments.run).resolve())]
            printed = subprocess.run(
                words, capture_output=True, encoding="utf-8", check=True, cwd="/"
            ).stdout
            taken[name].append(json.loads(printed))
    for name, found in taken.items():
        whole, engine, analysis = (median(one[part] for one in found) for part in PARTS)
        print(
            f"{name:8} {whole:.2f} s  at most {MOST} s  (a process that draws nothing "
            f"{engine:.2f} s; analysis, not counted, {analysis:.2f} s)"
        )
    sys.exit(median(one["whole"] for one in taken["now"]) > MOST)


if __name__ == "__main__":
    main()
