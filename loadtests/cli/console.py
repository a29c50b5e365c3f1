"""Consoles that print what services, servers and files say without obeying it."""

from io import StringIO
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult

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
        segments = list(console.render(self._renderable, options))
        text = "".join(segment.text for segment in segments if not segment.control)
        shown = StringIO(printable(text))  # as a whole: styles can divide a CI runner's command
        for segment in segments:
            if segment.control:  # of rich itself
                yield segment
            else:
                yield segment._replace(text=shown.read(len(segment.text)))
