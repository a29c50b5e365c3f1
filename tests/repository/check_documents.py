"""The long commands of README and docs, each page in a folder of its own: `make docs-check`."""

from pathlib import Path

import pytest

from tests.conftest import a_free_port
from tests.support.documents import Block, Sandbox, played

pytestmark = [pytest.mark.processes, pytest.mark.timeout(3600)]

LONG = [*played(lambda block: block.how == "long")]


@pytest.mark.parametrize(("page", "its"), LONG, ids=[page.name for page, _ in LONG])
def test_long_commands_end_as_the_page_says(tmp_path: Path, page: Path, its: list[Block]) -> None:
    sandbox = Sandbox(tmp_path, a_free_port)
    sandbox.prepare(page)
    try:
        for block in its:
            print(sandbox.play(block, timeout=900))
    finally:
        sandbox.close()
