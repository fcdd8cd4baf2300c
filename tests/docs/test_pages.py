"""What the pages point to is there, and what they show is well formed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.contract import METHODS, load_document
from tests.docs.pages import PAGES, anchors, code_blocks, name_of, pages_with, text_of
from tests.service_process import ROOT


def links() -> Iterator[tuple[Path, str]]:
    """Yield every link that is no URL, with its page."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if not target.startswith(("http://", "https://")):
                yield page, target


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether a link names a file that exists and, in a page, a heading that it has."""
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    if not file.exists():
        return False
    return not anchor or (file.suffix == ".md" and anchor in anchors(file))


def test_every_link_leads_somewhere() -> None:
    """Every relative link in the README, the changelog and docs/ names a file, and a heading."""
    found = list(links())
    assert len(found) > 50
    broken = [f"{name_of(page)}: {to}" for page, to in found if not leads_somewhere(page, to)]
    assert broken == []


def test_every_page_can_be_reached() -> None:
    """From the README, by following links, one comes to every page of docs/."""
    reached = {
        (page.parent / target.partition("#")[0]).resolve()
        for page, target in links()
        if target.partition("#")[0]
    }
    folders = {one for one in reached if one.is_dir()}
    lost = [
        name_of(page)
        for page in PAGES
        if page.name != "README.md" and page not in reached and page.parent not in folders
    ]
    assert lost == []


def test_every_page_the_code_names_exists() -> None:
    """Where a comment points to a page of docs/, there is such a page."""
    named = {
        name
        for folder in ("gateway", "store", "handlers", "tools", "demo")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"docs/(?:decisions/\d{4})?[\w-]+\.md", file.read_text("utf-8"))
    }
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_decisions_are_numbered_without_a_hole() -> None:
    """0001, 0002, 0003 and so on."""
    numbers = sorted(int(page.name[:4]) for page in (ROOT / "docs/decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_table_of_endpoints_is_the_contract() -> None:
    """docs/http.md names every operation of the OpenAPI document with its scope, and no other."""
    text = text_of(ROOT / "docs/http.md")
    listed = re.findall(r"^\| `([A-Z]+) (/\S*)` \| (\w+) \| \S", text, re.MULTILINE)
    contract = [
        (method.upper(), path, item[method]["x-scope"])
        for path, item in load_document()["paths"].items()
        for method in METHODS
        if method in item
    ]
    assert sorted(listed) == sorted(contract)


@pytest.mark.parametrize("name", pages_with("json"))
def test_json_is_json(name: str) -> None:
    """What is shown as JSON can be read as JSON."""
    for block in code_blocks(ROOT / name, "json"):
        json.loads(block)
