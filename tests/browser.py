"""A page as a real browser sees it: headless Chromium, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")


def opened(page: str, folder: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what the browser's console says."""
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page)
    browser = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000", "--dump-dom"),
            f"--user-data-dir={folder / 'profile'}",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return browser.stdout, [line for line in browser.stderr.splitlines() if "CONSOLE" in line]
