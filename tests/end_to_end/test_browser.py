"""What the browser tests rest on: a complaint is seen, and the page is as wide and as dark."""

import pytest

from tests.support.browser import browser, needs_browser, watched

__all__ = ["browser"]

pytestmark = [needs_browser, pytest.mark.processes]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("console.error('no')", "console error: no"),
        ("console.warn('hm')", "console warning: hm"),
        ("throw new Error('boom')", "exception: boom"),
    ],
)
def test_console_messages_of_a_page_are_found(browser, script, complaint):
    with watched(browser) as (page, complaints):
        page.set_content(f"<p>text</p><script>{script}</script>")
        assert complaints == [complaint]


def test_a_page_without_a_fault_has_no_complaints(browser):
    with watched(browser) as (page, complaints):
        page.set_content("<p>text</p><script>console.log('fine')</script>")
        assert page.inner_text("p") == "text"
        assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_is_as_wide_and_as_dark_as_asked(browser, width, scheme):
    with watched(browser, width=width, scheme=scheme) as (page, _):
        dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert (page.evaluate("innerWidth"), dark) == (width, scheme == "dark")
