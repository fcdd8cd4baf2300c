"""The pages and what is in them: code blocks, shell lines, headings."""

from __future__ import annotations

import re
from pathlib import Path

from tests.service_process import ROOT

README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
# The guide of the client: a package of its own, whose tests run its examples.
CLIENT_GUIDE = ROOT / "docs/client.md"
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """Return the page's path as people write it."""
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code_blocks(page: Path, language: str) -> list[str]:
    """Return a page's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> list[str]:
    """Return the lines of a page that are to be pasted into a terminal."""
    return [line for block in code_blocks(page, "sh") for line in block.splitlines()]


def pages_with(language: str) -> list[str]:
    """Return the names of the pages of the service that have code in a language."""
    pages = [page for page in PAGES if page != CLIENT_GUIDE]
    return [name_of(page) for page in pages if code_blocks(page, language)]


def anchors(page: Path) -> set[str]:
    """Return what `page.md#...` may name, made of the headings as GitHub does it."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCED.sub("", text_of(page)), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = 0
        while (one := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(one)
    return found
