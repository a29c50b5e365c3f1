"""Logs of services that print all day."""

from pathlib import Path

from loadtests.run import log_sizes


def test_only_large_logs_are_named(tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text("ready\n", encoding="utf-8")
    with open(tmp_path / "chatty~2.log", "wb") as log:
        log.truncate(3 * log_sizes.LARGE)
    [remark] = log_sizes.remarks(tmp_path)
    assert remark.startswith(f"chatty printed 201 MB in this run ({tmp_path / 'chatty~2.log'}). ")
