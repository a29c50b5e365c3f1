"""
Empty pictures, for commands whose charts no test looks at.

It is found before the library that draws them: the start of its JavaScript engine takes more CPU
than the rest of a report.
"""

from typing import Any

EMPTY = '<svg xmlns="http://www.w3.org/2000/svg"/>'


def vegalite_to_svg(chart: Any, config: Any, allowed_base_urls: list[str]) -> str:
    return EMPTY


def svg_to_png(svg: str, scale: float) -> bytes:
    return b""


def javascript_bundle(snippet: str) -> str:
    return ""
