"""httpx2, the maintained successor of httpx."""

from functools import partial

from app_under_test.telemetry import httpx_like

observe = partial(httpx_like.observe, core="httpcore2")
