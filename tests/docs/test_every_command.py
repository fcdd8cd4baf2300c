"""Who runs what the pages show: every block, and every command within a sentence.

A block of `sh`, `python` or `javascript` is run by a test. A block of `console`, and a command in
the text, may be run by none; then the table at the end of docs/installation.md names it with the
reason and with what is tested instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import CLIENT_GUIDE, PAGES, code_blocks, name_of, text_of
from tests.docs.test_commands import RESPONDER
from tests.service_process import ROOT
from tools.command_line import _parser

RUN_BY = {
    "sh": "tests/docs/test_commands.py, and tests/client/test_guide.py for the client",
    "python": "the same two",
    "javascript": "tests/docs/test_javascript.py, in a browser",
    "json": "tests/docs/test_pages.py reads it",
    "console": "nobody: the table in docs/installation.md says why",
    "text": "nobody: it is no command",
}
# Of other people, or of the Makefile.
PROGRAMS = (
    *("apt", "curl", "docker", "fuser", "git", "journalctl", "kill", "make", "mosquitto_passwd"),
    *("nc", "openssl", "pip", "python", "python3", "sh", "sqlite3", "ss", "sudo", "sudoedit"),
    *("systemctl", "systemd-analyze", "timedatectl"),
)
OURS = ("server.py", "mqtt-api-server", ".venv/bin/python server.py", "db", "keys", "doctor")
_FENCE = re.compile(r"^```(\S*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*\s+")
# What the changelog and the decisions tell is history, and the client has tests of its own.
GUIDES = [page for page in PAGES if page.parent.name != "decisions" and page.name != "CHANGELOG.md"]


def table() -> str:
    """Return the table of what no test runs."""
    page = text_of(ROOT / "docs/installation.md")
    return page.partition("## What the tests do not run")[2]


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for block in code_blocks(page, language):
            yield page, block


def without_prefixes(command: str) -> str:
    """Return a command without `sudo` and without variables before it."""
    text = command.removeprefix("sudo ").strip()
    while found := _ASSIGNMENT.match(text):
        text = text[found.end() :]
    return text


def inline_commands() -> Iterator[tuple[Path, str]]:
    """Yield what stands in the text like `this`, and has more than one word."""
    for page in GUIDES:
        for span in re.findall(r"(?<!`)`([^`\n]+)`", _FENCED.sub("", text_of(page))):
            if " " in span and page != CLIENT_GUIDE:
                yield page, without_prefixes(span)


def name_in_table(command: str) -> str:
    """Return by which name the table would have it: with `make`, the target counts."""
    words = command.split()
    if words[0] == "make":
        return f"`make {words[1].partition('-')[0]}"
    program = words[0].rpartition("/")[2] if words[0].endswith(".sh") else words[0]
    return program.partition("/")[0]


def test_every_block_has_somebody_who_runs_it() -> None:
    """No block is of a kind that nobody looks at, and the guide's tests take all of its lines."""
    kinds = [kind for page in PAGES for kind in _FENCE.findall(text_of(page)) if kind]
    assert len(kinds) > 80 and set(kinds) <= set(RUN_BY)
    assert len(code_blocks(CLIENT_GUIDE, "sh")) == 1, "tests/client/test_guide.py runs the first"
    for page, block in blocks("python"):
        assert page == CLIENT_GUIDE or "localhost:8000" in block or RESPONDER in block, block


def test_what_is_shown_as_text_is_no_command() -> None:
    """A command in a block of text would be run by nobody, and be named by nobody. The greeting of
    `make run` shows some that the README shows to be run, too."""
    for page, block in blocks("text"):
        if "Ctrl-C stops it." in block:
            continue
        for line in block.splitlines():
            first, _, rest = without_prefixes(line).partition(" ")
            assert not rest or first not in (*PROGRAMS, "mqtt-api-server"), (
                f"{name_of(page)}: {line}"
            )


def test_what_no_test_runs_is_named_with_the_reason() -> None:
    """Every line in a block of `console`, and every command of others in a sentence, is in the
    table."""
    named = table()
    lines = [line for _, block in blocks("console") for line in block.splitlines()]
    lines += [one for _, one in inline_commands() if one.split()[0] in PROGRAMS]
    assert len(lines) > 40
    lost = {one for one in lines if name_in_table(without_prefixes(one)) not in named}
    assert lost == set()


@pytest.mark.parametrize(
    "command",
    sorted({one for _, one in inline_commands() if one.startswith(tuple(f"{o} " for o in OURS))}),
)
def test_our_own_commands_in_the_text_are_understood(command: str) -> None:
    """`db backup`, `keys list` and the like are what the command line takes; `...` and words in
    capitals stand for something."""
    for prefix in ("server.py", "mqtt-api-server", ".venv/bin/python"):
        command = command.removeprefix(prefix).strip().removeprefix("server.py")
    command = command.replace("$(date +%F)", "today")
    words = shlex.split(command.partition(" > ")[0].replace("...", "").replace("COPY", "x.db"))
    if words in (["db"], ["keys"], []):
        return
    if words[:2] in (["keys", "add"], ["keys", "remove"]) and len(words) == 2:
        words.append("somebody")
    if words == ["db", "backup"]:
        words.append("copy.db")
    parser = _parser("1")
    assert parser.parse_args(words) is not None
