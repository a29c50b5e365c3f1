"""Mistakes on the command line are answered like all others: a sentence, and the way out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup

from loadtests.cli.output import errors, mistakes
from loadtests.exit_codes import USAGE, Failure

# typer has classes of its own or those of click, by its version.
_Mistake = cast(type[Exception], typer.BadParameter.__mro__[1])


class _PlainHelp:
    def get_help_option(self, context: Any) -> Any:
        """The option --help, shown without a type."""
        option: Any = super().get_help_option(context)  # type: ignore[misc]
        option.metavar = ""
        return option


class Command(_PlainHelp, TyperCommand):
    """One command."""


class Commands(_PlainHelp, TyperGroup):
    """All commands; a mistake in their options or arguments ends with exit code 2."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        try:
            with mistakes():
                code = super().main(*args, **{**options, "standalone_mode": False})
        except _Mistake as mistake:
            errors.print(_explained(mistake), markup=False, highlight=False, soft_wrap=True)
            code = USAGE
        except typer.Exit as ended:
            code = ended.exit_code
        sys.exit(code)


def choice(option: str, *known: str, unset: str | None = None) -> Callable[[str], str]:
    """
    Return a parser that takes one of the known values and suggests the nearest for others.

    Args:
        unset: the default that stands for no value.
    """

    def parse(text: str) -> str:
        if text in known or text == unset:
            return text
        raise Failure(f"{option} {text!r} {one_of(text, known)}")

    return parse


def whole(option: str, least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""
    span = f"from {least} to {most}" if most else f"of {least} or more"

    def parse(text: str | int) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most and number > most):
            raise Failure(f"{option} {str(text)!r} is not a whole number {span}.")
        return number

    return parse


def one_of(text: str, known: tuple[str, ...]) -> str:
    """Say that a value is none of the known ones, with the nearest."""
    return f"is not {', '.join(known[:-1])} or {known[-1]}.{did_you_mean(text, known)}"


def did_you_mean(text: str, known: Sequence[str]) -> str:
    """Return a sentence with the nearest of the known words; empty: none is near."""
    nearest = get_close_matches(text, known, n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""


def _explained(mistake: Any) -> str:
    """A mistake that typer found, in a sentence, and the command that lists what there is."""
    context = mistake.ctx
    text = str(mistake.format_message()).strip()
    if type(mistake).__name__ == "NoArgsIsHelpError":
        return text
    if type(mistake).__name__ == "NoSuchOption":
        known = [each for param in context.command.params for each in param.opts]
        name = mistake.option_name
        text = f"There is no option {name}.{did_you_mean(name, known)}"
    elif type(mistake).__name__ == "MissingParameter":
        text = f"{mistake.param.metavar or mistake.param.name} is missing."
    elif "requires an argument" in text:
        text = f"{mistake.option_name} needs a value."
    elif "does not take a value" in text:
        text = f"{mistake.option_name} takes no value."
    text = text.replace("No such command", "There is no command")
    command = context.command_path if context else "brownout"
    return f"{text}\n{command} --help shows all arguments and options."
