"""httpx2, the maintained successor of httpx."""

from functools import partial

from .. import httpx_like

observe = partial(httpx_like.observe, core="httpcore2")
