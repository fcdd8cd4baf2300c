"""`GET /dashboard` and the files it is made of.

Answers for: the page, its modules and styles (from the package `dashboard`), its chart library
(from an installed package), their caching, and the policy the page lives under. Does not: know
what the page shows; it speaks the public API only.
"""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from importlib.resources.abc import Traversable

from handlers.base import Handler
from handlers.problems import Problem

# Nothing but our own files, no script or style in the page itself, no place where a text could
# become markup or code (Trusted Types), nothing framed. Pictures are made by the page: a chart.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
# No dot but that of the ending, so that no path leads out of the folder.
NAMES = re.compile(r"([a-z0-9_]+/)*[a-z0-9_]+\.(js|css|svg)")
# Names under which the page asks for its chart library -> (package, path in it).
VENDORED = {
    "vendor/uplot.js": ("youplot", "vendor/uplot.iife.min.js"),
    "vendor/uplot.css": ("youplot", "vendor/uplot.min.css"),
}
TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


def file_of(path: str) -> Traversable:
    """Return a file of the page; KeyError when there is no such one."""
    if path in VENDORED:
        package, inside = VENDORED[path]
        return resources.files(package).joinpath(inside)
    if not NAMES.fullmatch(path):
        raise KeyError(path)
    file = resources.files("dashboard").joinpath(path)
    if not file.is_file():
        raise KeyError(path)
    return file


class Revalidated(Handler):
    """Base of both: a browser may keep the file, and asks each time whether it is still the one.

    So that after an upgrade nobody sees half of the old page.
    """

    is_limited = False

    def answer(self, content: bytes, kind: str) -> None:
        """Answer with the content, or 304 when the browser has it."""
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("ETag", tag)
        known = self.request.headers.get("If-None-Match", "")
        if tag in [one.strip().removeprefix("W/") for one in known.split(",")]:
            self.set_status(304)
            self.clear_header("Content-Type")
            content = b""
        self.finish_with(content)


class Dashboard(Revalidated):
    """`GET /dashboard`."""

    def get(self) -> None:
        """Answer with the page."""
        self.query()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        page = resources.files("dashboard").joinpath("index.html")
        self.answer(page.read_bytes(), "text/html")


class DashboardFile(Revalidated):
    """`GET /dashboard/{path}`."""

    def get(self, path: str) -> None:
        """Answer with one file; without a name, lead back to the page."""
        self.query()
        if not path:
            self.set_status(302)
            self.set_header("Location", "../dashboard")
            self.finish_with(b"")
            return
        try:
            file = file_of(path)
        except KeyError:
            raise Problem(404, f"there is no file {path}") from None
        self.answer(file.read_bytes(), TYPES[path.rpartition(".")[2]])
