"""The files of the dashboard: how they are served, and what may not be in them. No browser here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from handlers.dashboard import file_of
from tests.dashboard.looking import Plant
from tests.service_process import ROOT

FOLDER = ROOT / "dashboard"
FILES = sorted(
    str(file.relative_to(FOLDER))
    for file in FOLDER.rglob("*")
    if file.suffix in (".js", ".css", ".svg")
)
MODULES = [name for name in FILES if name.endswith(".js")]
# Where a text could become markup, code or style.
SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
    r"|createContextualFragment|srcdoc|setHTML|cssText|setAttribute\(\"style|https?://(?!www\.w3\.org)"
)


def test_a_browser_keeps_the_files_and_asks_whether_they_changed(plant: Plant) -> None:
    """Page and files have a tag; with it the answer is 304 and empty; without, the content."""
    for path in ("/dashboard", "/dashboard/app.js", "/dashboard/vendor/uplot.js"):
        answer = plant.service.get(path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        tag = answer.headers["ETag"]
        assert answer.content and re.fullmatch(r'"[0-9a-f]{32}"', tag)
        for known in (tag, f'"other", W/{tag}'):
            again = plant.service.get(path, {"If-None-Match": known})
            assert (again.status, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert plant.service.get(path, {"If-None-Match": '"other"'}).status == 200


@pytest.mark.parametrize("name", [*FILES, "vendor/uplot.js", "vendor/uplot.css"])
def test_every_file_is_served_with_its_type(plant: Plant, name: str) -> None:
    """Each file comes as what it is, byte for byte."""
    answer = plant.service.get(f"/dashboard/{name}")
    kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert answer.status == 200
    assert answer.headers["Content-Type"] == f"{kind[name.rpartition('.')[2]]}; charset=utf-8"
    assert answer.content == file_of(name).read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "nothing.js",
        "__init__.py",
        "index.html",
        "../server.py",
        "..%2fserver.py",
        "views",
        "a//b.js",
        "%2e%2e/handlers/html/docs.js",
        "views/../app.js",
        "app.js%00",
        "/etc/passwd",
        "app.js/",
    ],
)
def test_nothing_else_is_served(plant: Plant, path: str) -> None:
    """No other file, however it is asked for, is there."""
    assert plant.service.get(f"/dashboard/{path}").status == 404


def test_who_is_sent_where(plant: Plant) -> None:
    """A browser at `/` is led to the page, programs are not; a slash too much does no harm."""
    page = plant.service.get("/dashboard").content
    assert plant.service.get("/", {"Accept": "text/html"}).content == page
    assert plant.service.get("/dashboard/").content == page
    assert plant.service.get("/").json()["service"] == "GhostMesh MQTT API Backend"


def test_the_page_lives_under_a_strict_policy(plant: Plant) -> None:
    """No inline script or style, no other host, and no place where text becomes code."""
    answer = plant.service.get("/dashboard")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    text = answer.content.decode()
    assert not re.search(r"<style|style=|<script>|\bon\w+=|//", text.replace("<!doctype", ""))
    named = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert named and not [one for one in named if one.startswith("/")]
    for one in named:
        assert plant.service.get(f"/{one}").status == 200, one


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_one_thing_and_makes_no_markup(name: str) -> None:
    """Each module says at its top what it is, is short, and has no way to make markup of a text."""
    text = (FOLDER / name).read_text("utf-8")
    assert text.startswith("// ")
    assert len(text.splitlines()) < 250
    assert max(map(len, text.splitlines())) <= 100
    assert not SINKS.findall(text)
    for target in re.findall(r'from "(\.[^"]+)"', text):
        assert (FOLDER / Path(name).parent / target).resolve().exists(), target


def test_models_know_neither_page_nor_service() -> None:
    """Imports go down: app -> views -> page and api -> model; a model imports models only."""
    below = {"model": {"model"}, "page": {"page", "model"}, "api": {"api", "model"}}
    for name in MODULES:
        folder = name.partition("/")[0]
        if folder not in below:
            continue
        for target in re.findall(r'from "(\.[^"]+)"', (FOLDER / name).read_text("utf-8")):
            to = (FOLDER / Path(name).parent / target).resolve().relative_to(FOLDER).parts[0]
            assert to in below[folder], f"{name} imports {target}"
