"""The README tells the truth: its table, its two commands, and the requirements."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import pytest
import setuptools

from gateway.config import Config
from gateway.variables import FROM_FILE, VARIABLES
from server import VERSION
from tests.docs.pages import CLIENT_GUIDE, PAGES, README, code_blocks, name_of, shell_lines, text_of
from tests.service_process import ROOT
from tools.tryout import greeting

# Words in capitals with an underscore that are no variables of the service.
OTHER_WORDS = {"STATE_DIRECTORY", "MQTT_API_URL"}


def test_the_configuration_table_is_the_code() -> None:
    """The README names every variable with its default, in the order of the code, and no other."""
    row = r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\| (\S.*) \|$"
    rows = re.findall(row, text_of(README), re.MULTILINE)
    assert [(name, default) for name, default, _ in rows] == [
        (variable.name, variable.default) for variable in VARIABLES
    ]


@pytest.mark.parametrize("page", [one for one in PAGES if one != CLIENT_GUIDE], ids=name_of)
def test_every_variable_that_a_page_names_exists(page: Path) -> None:
    """A name such as API_HOST on any page is a variable of the service."""
    known = {variable.name for variable in VARIABLES} | {f"{name}_FILE" for name in FROM_FILE}
    prefixes = {name.partition("_")[0] for name in known}
    named = set(re.findall(r"`([A-Z]+_[A-Z_]*[A-Z])\b", text_of(page)))
    named = {name for name in named if name.partition("_")[0] in prefixes}
    assert sorted(named - known - OTHER_WORDS) == []


def test_two_commands_set_everything_up() -> None:
    """A newcomer types `make run` or `make test`; every other line is for using the service."""
    using = ("curl ", "sqlite3 -readonly ")
    assert [line for line in shell_lines(README) if not line.startswith(using)] == [
        "make run",
        "make test",
    ]
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"run", "test", "demo"} <= set(rules)


def test_the_greeting_is_the_one_that_is_printed() -> None:
    """What `make run` is said to print is what it prints, but for where the database is."""
    printed = greeting(
        Config.from_mapping({"MQTT_BROKER_HOST": "127.0.0.1"}), VERSION, 8000, embedded=True
    )
    shown = next(one for one in code_blocks(README, "text") if "Ctrl-C stops it" in one)

    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and "Database" not in line]

    assert lines(shown) == lines(printed)


def test_requirements_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """requirements.txt lists exactly what setup.py requires."""
    monkeypatch.chdir(ROOT)
    with mock.patch.object(setuptools, "setup") as setup:
        code = compile((ROOT / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec")
        exec(code, {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"})
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert sorted(listed) == sorted(setup.call_args.kwargs["install_requires"])
