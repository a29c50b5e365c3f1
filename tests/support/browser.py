"""A page as a real browser sees it: headless Chromium, where there is one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "needs Chromium on the PATH"
if CHROMIUM is None and os.environ.get("BROWNOUT_NEEDS_BROWSER"):  # CI: a skip would hide a gap
    raise RuntimeError(f"BROWNOUT_NEEDS_BROWSER is set: {MISSING}")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

LEFT = "net::ERR_ABORTED"  # the page was left before the answer came
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def opened(page: str, folder: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what the browser's console says."""
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    browser = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=5000", "--dump-dom"),
            f"--user-data-dir={folder / 'profile'}",
            file.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return browser.stdout, [line for line in browser.stderr.splitlines() if "CONSOLE" in line]


# Not for the session: while Playwright's sync API is on, its loop counts as running in this
# thread, and every asyncio.run() of other modules would fail.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, one for a module. A module imports this fixture to use it."""
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as chromium,
    ):
        yield chromium


@contextmanager
def watched(
    browser: Browser, *, width: int = 1440, scheme: Literal["light", "dark"] = "light"
) -> Iterator[tuple[Page, list[str]]]:
    """An empty page of a new context, and the browser's complaints of what is opened there.

    Complaints are errors and warnings on the console, exceptions that nothing caught, and requests
    that failed. They come in only during calls of Playwright: after something that runs later,
    wait for what it does before looking at them.
    """
    complaints: list[str] = []
    viewport = {"width": width, "height": 900}
    with browser.new_context(viewport=viewport, color_scheme=scheme) as context:
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                complaints.append(f"console {message.type}: {message.text}")
                if message.type in ("error", "warning", "assert")
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.on(
            "requestfailed",
            lambda request: (
                complaints.append(f"failed: {request.url}: {request.failure}")
                if request.failure != LEFT
                else None
            ),
        )
        yield page, complaints
