"""Commands of README and docs can be typed as they stand; `make docs-check` plays the long ones."""

from pathlib import Path

import pytest

from tests.conftest import a_free_port
from tests.support.documents import PAGES, PLAYED, Block, Sandbox, blocks, played

pytestmark = pytest.mark.processes

QUICK = [*played(lambda block: block.how not in ("long", "not run"))]


@pytest.mark.parametrize(("page", "its"), QUICK, ids=[page.name for page, _ in QUICK])
def test_quick_commands_end_and_print_as_the_page_shows(
    tmp_path: Path, page: Path, its: list[Block]
) -> None:
    sandbox = Sandbox(tmp_path, a_free_port)
    sandbox.prepare(page)
    try:
        for block in its:
            sandbox.play(block, timeout=120)
    finally:
        sandbox.close()


def test_each_block_of_commands_is_played_or_has_a_reason() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language != "sh", f"{block}: write bash or console"
            if block.language not in PLAYED:
                assert not block.text.startswith("$ "), f"{block}: write console"
            elif block.how == "not run":
                assert len(block.value.split()) > 2, f"{block}: the reason is missing"


def test_a_command_with_other_output_is_found(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, a_free_port)
    shown = Block(Path("page.md"), 1, "console", "$ echo 17 users\n40 users\n")
    assert sandbox.play(shown, timeout=20) == "17 users\n"
    for text in ("$ echo 17 users\n17 words\n", "$ exit 3\n", "$ false\n$ true\n"):
        with pytest.raises(AssertionError):
            sandbox.play(Block(Path("page.md"), 1, "console", text), timeout=20)
