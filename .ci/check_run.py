"""Is this run.json of a short run whole, and does it obey Little's law?"""

import json
import sys
from pathlib import Path

run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
assert run["format"] == "brownout-run/2", run["format"]
assert run["status"] == "complete", run["status"]
points = [point for point in run["points"] if point["request"] == "all"]
stages = {(name, level) for name in run["deployments"] for level in run["plan"]["load"]["levels"]}
assert {(point["deployment"], point["level"]) for point in points} == stages, points
for point in points:
    where = f"{point['deployment']} at {point['level']}"
    assert point["requests"] > 0, where
    assert point["errors"]["rate"] == 0, (where, point["errors"])
    assert point["response_time"]["p50"]["value"] > 0.01, where
    if point["requests"] >= 500:
        assert abs(point["in_flight"] / point["level"] - 1) < 0.05, (where, point["in_flight"])
print(f"{len(points)} points, all whole")
