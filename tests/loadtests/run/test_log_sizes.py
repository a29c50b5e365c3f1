"""Logs of services that print all day."""

import errno
import os
from pathlib import Path

from loadtests import redaction
from loadtests.run import log_sizes


def test_only_large_logs_are_named(tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text("ready\n", encoding="utf-8")
    with open(tmp_path / "chatty~2.log", "wb") as log:
        log.truncate(3 * log_sizes.LARGE)
    [remark] = log_sizes.remarks(tmp_path)
    assert remark.startswith(f"chatty printed 201 MB in this run ({tmp_path / 'chatty~2.log'}). ")


def test_a_process_without_descriptors_leaves_the_logs_as_they_are(tmp_path, monkeypatch) -> None:
    def exhausted(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    (tmp_path / "a.log").write_text("a-known-secret", encoding="utf-8")
    redaction.remember("a-known-secret")
    monkeypatch.setattr(os, "scandir", exhausted)
    redaction.scrub(tmp_path)
    assert list(log_sizes.remarks(tmp_path)) == []
