"""Links of the Markdown files lead to files and headings that exist; every page can be found."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import ROOT

PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
NAV = ROOT / "zensical.toml"

_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Names of the page's headings; without those that GitHub and the site make differently."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.strip().lower())
        name = re.sub(r"\s", "-", plain)
        if name == re.sub("-+", "-", name).strip("-"):
            found.add(name)
    return found


def broken(page: Path) -> Iterator[str]:
    for target in _LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if not other.exists():
            yield f"{page.name}: {target}: there is no such file"
        elif anchor and other.suffix == ".md" and anchor not in anchors(other):
            yield f"{page.name}: {target}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert [*broken(page)] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n# `--json`\n"
        "[a](#a-heading) [b](#another) [c](missing.md) [d](page.md#a-heading) [e](#--json)\n",
        encoding="utf-8",
    )
    assert len([*broken(page)]) == 3


def test_every_page_is_in_the_index_and_in_the_navigation_of_the_site() -> None:
    pages = {page.name for page in PAGES if page.parent == ROOT / "docs"}
    index = ROOT / "docs" / "index.md"
    assert pages - {index.name} <= {
        target.partition("#")[0] for target in _LINK.findall(prose(index))
    }
    assert pages == {*_pages(tomllib.loads(NAV.read_text(encoding="utf-8"))["project"]["nav"])}


def _pages(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for value in nav.values():
            yield from _pages(value)
    elif isinstance(nav, list):
        for value in nav:
            yield from _pages(value)
