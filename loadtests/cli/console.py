"""Consoles that print what services, servers and files say without obeying it."""

from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from loadtests.characters import printable


def console(**options: Any) -> Console:
    """
    Return a console for texts that may come from elsewhere: of escape sequences rich itself takes
    but a few away.

    Args:
        options: of rich's Console.
    """
    made = Console(**options)
    made.push_render_hook(_Filter())
    return made


class _Filter(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Filtered(one) for one in renderables]


class _Filtered:
    """What something looks like, in characters that a terminal shows."""

    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return map(_filtered, console.render(self._renderable, options))


def _filtered(segment: Segment) -> Segment:
    if segment.control:  # of rich itself
        return segment
    return segment._replace(text=printable(segment.text))
