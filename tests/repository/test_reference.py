"""The documents have all that the code can do, and name nothing that it cannot."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from pydantic import BaseModel

from app_under_test.variants import __path__ as variants
from loadtests import exit_codes, plans
from loadtests.cli.commands import app
from loadtests.plans import Plan
from mock_upstream import standard_streams
from mock_upstream.faults import __path__ as faults
from tests.support.documents import PAGES, PLAYED, ROOT, blocks

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
COMMANDS = {
    name: {word for one in command.params for word in one.opts} | {"--help"}
    for name, command in typer.main.get_group(app).commands.items()
    if not command.hidden
}
CODES = [code for code in vars(exit_codes).values() if isinstance(code, int)]
CODES += [standard_streams.CRASHED, standard_streams.UNWRITABLE, standard_streams.READER_GONE]


def tables(kind: object, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The tables of a plan, from the whole one down."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        yield kind
        for field in kind.model_fields.values():
            yield from tables(field.annotation, seen)
    for part in get_args(kind):
        yield from tables(part, seen)


def keys() -> Iterator[tuple[str, str]]:
    for table in tables(Plan, set()):
        for name, field in table.model_fields.items():
            yield table.__name__, field.alias or name


def modules(path: list[str]) -> set[str]:
    names = {file.stem for folder in path for file in (ROOT / folder).glob("[a-z]*.py")}
    return {name.replace("_", "-") for name in names}


def inline(page: Path) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"`([^`]+)`", re.sub(r"(?ms)^ *```.*?^ *```$", "", TEXTS[page.name]))


def typed(page: Path) -> Iterator[str]:
    """Commands of brownout, in the text and in blocks."""
    yield from (code for code in inline(page) if code.startswith("brownout "))
    for block in blocks(page):
        if block.language in PLAYED:
            script = block.script().replace("\\\n", " ")
            yield from (line for line in script.splitlines() if line.startswith("brownout "))


KEYS = "\n".join(
    "\n".join([*inline(page), *(one.text for one in blocks(page) if one.language == "toml")])
    for page in PAGES
    if page.name in ("plans.md", "mock.md", "locustfiles.md")
)


@pytest.mark.parametrize(("table", "key"), sorted(keys()))
def test_each_key_of_a_plan_is_in_its_pages(table: str, key: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", KEYS), f"{key} of {table}"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_option_of_a_command_is_in_a_page(command: str) -> None:
    everything = "\n".join(TEXTS.values())
    options = {word for word in COMMANDS[command] if word.startswith("--")} - {"--help"}
    assert not {word for word in options if not re.search(rf"{word}(?![\w-])", everything)}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_pages_name_commands_and_options_that_exist(page: Path) -> None:
    for text in typed(page):
        own = re.sub(r"'[^']*'|\"[^\"]*\"", "X", text)  # what a deployment is started by
        _, *words = re.split(r" -- |\||#", own)[0].split()
        command = words[0] if words and not words[0].startswith("-") else ""
        known = COMMANDS[command] if command.islower() else {"--version", "--help"}
        assert {word for word in words if word.startswith("-")} <= known, text


@pytest.mark.parametrize("code", CODES)
def test_each_exit_code_is_in_a_table(code: int) -> None:
    rows = re.findall(r"^\|(.*)\|$", TEXTS["ci.md"] + TEXTS["README.md"], re.MULTILINE)
    assert any(re.search(rf"(^|\|) ?(\d, )?{code} ?(\||$|, \d)", row) for row in rows)


def test_faults_variants_and_shipped_plans_are_in_their_pages() -> None:
    for page, names in (
        ("mock.md", modules(faults)),
        ("variants.md", modules(variants)),
        ("plans.md", {*plans.shipped()}),
    ):
        assert names
        assert not {name for name in names if f"`{name}`" not in TEXTS[page]}, page


def test_variables_and_files_that_the_pages_name_exist() -> None:
    everything = "\n".join(TEXTS.values())
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for package in ("loadtests", "mock_upstream", "app_under_test", "brownout")
        for file in (ROOT / package).rglob("*.py")
    )
    named = set(re.findall(r"\b(?:BROWNOUT|MOCK_UPSTREAM)_[A-Z_]+\b", everything))
    assert named
    assert not {name for name in named if name not in code}
    paths = r"`((?:tests|loadtests|docs|mock_upstream|app_under_test|brownout)/[\w./-]+)`"
    assert not {path for path in re.findall(paths, everything) if not (ROOT / path).exists()}
