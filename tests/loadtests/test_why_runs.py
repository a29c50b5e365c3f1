"""`brownout run --why` with a real mock and a real service that has few threads."""

import pytest

from loadtests.schedules import why
from tests.support.brownout_runs import called

PLAN = """
name = "few-threads"
seed = 3
[upstream]
latency = "lognormal(p50=30ms,p99=70ms)"
[deployments.few]
variant = "blocking-requests"
settings = { threads = 4, pool = 20 }
[[requests]]
path = "/external-data"
[load]
levels = [1, 3, 8, 12]
settle = "1s"
measure = "1500ms"
"""


@pytest.mark.processes
@pytest.mark.quiet
def test_a_limit_of_few_threads_is_confirmed_by_both_experiments(tmp_path, monkeypatch):
    monkeypatch.setattr(why, "WINDOW", why.SETTLE[0] + why.MEASURE)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    _, done = called("run", "plan.toml", "--out", "runs", "--why", "few", cwd=tmp_path)
    run = done.run()
    assert {point.level for point in run.points} == {1, 3, 8, 12}
    if not run.experiments:
        pytest.skip(f"the machine was not quiet: {run.problems} {run.points[-1].problems}")
    upstream, setting = run.experiments
    if upstream.tested != "threads" or upstream.pairs < 6:
        pytest.skip(f"the machine was not quiet: {upstream.why}")
    assert upstream.verdict == "confirmed", upstream
    assert setting.change == "threads = 6 instead of 4"
    if setting.ratio.high > 2:  # windows in which others had its core
        pytest.skip(f"the machine was not quiet: {setting.why}")
    assert setting.verdict == "confirmed", setting
    limit = run.of("few")[-1].limit
    assert (limit.resource, limit.source) == ("threads", "telemetry")
    assert "onfirmed by experiment: with an upstream 20 % faster" in " ".join(done.output.split())
