"""`GET /docs`, `/redoc` and their assets: pages that need no internet.

Answers for: the two pages, the files of their libraries, and the policy they live under. The
files come from installed packages, never from a CDN.
"""

from __future__ import annotations

import mimetypes
from importlib import resources

from handlers.base import Handler
from handlers.problems import Problem

# Under `assets/`: name -> (package, path in it). Nothing else is served.
_SWAGGER = ("mkdocs_swagger_ui_tag", "swagger-ui")
_REDOC = ("mkdocs_redoc_tag", "redoc")
ASSETS = {
    "swagger-ui.css": (*_SWAGGER, "stylesheets/swagger-ui.css"),
    "swagger-ui-bundle.js": (*_SWAGGER, "javascripts/swagger-ui-bundle.js"),
    "redoc.standalone.js": (*_REDOC, "javascripts/redoc.standalone.js"),
    "docs.js": ("handlers", "html", "docs.js"),
    "redoc.js": ("handlers", "html", "redoc.js"),
}
# Both libraries set styles on elements and draw small pictures as data; ReDoc searches in a
# worker made of a blob. Scripts come from here alone, and nothing may be fetched elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self';"
    " worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CACHE_SECONDS = 3_600


def asset_bytes(name: str) -> bytes:
    """Return the content of one asset; KeyError when there is no such one."""
    package, *path = ASSETS[name]
    return resources.files(package).joinpath(*path).read_bytes()


class Page(Handler):
    """One HTML page of this package."""

    file: str

    def get(self) -> None:
        """Answer with the page."""
        self.query()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.finish_with(resources.files("handlers").joinpath("html", self.file).read_bytes())


class Asset(Handler):
    """`GET /assets/{file}`. Limited like all that is not a probe: a file of a megabyte is work."""

    def get(self, name: str) -> None:
        """Answer with one file of a page."""
        self.query()
        if name not in ASSETS:
            raise Problem(404, f"there is no file {name}")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", f"public, max-age={CACHE_SECONDS}")
        self.finish_with(asset_bytes(name))
