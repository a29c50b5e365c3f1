"""What the browser tests rest on: a complaint is seen, and the page is as wide and as dark."""

import asyncio

import pytest

from tests.browser import browser, needs_browser, watched


def test_x(browser):
    with watched(browser) as (page, complaints):
        page.set_content("""<meta http-equiv=content-security-policy content="default-src 'none'; script-src 'unsafe-inline'"><p>x<script>console.warn('w'); console.error('e'); console.log('l'); console.assert(false,'a')</script><img src="http://127.0.0.1:1/x.png">""")
        print(complaints)
        try:
            print(page.evaluate("1+1"), page.evaluate("() => 3"))
            page.wait_for_function("() => true")
            page.wait_for_function("1 == 1")
        except Exception as e: print(repr(e))
    with watched(browser) as (page, complaints):
        page.set_content("""<p>x<script>throw new Error('boom')</script><img src="http://127.0.0.1:1/x.png">""")
        print(complaints)
    assert 0
