"""A real browser for tests: Debian's chromium without a window, cut off from everything but us."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

QUIET = (
    "--no-sandbox",
    # Without a graphics card, playing one costs a fifth of what a page does.
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    # No name but ours can be found, whoever asks.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def chromium_path() -> str | None:
    """Return where chromium is, or None."""
    return shutil.which("chromium", path="/usr/local/bin:/usr/bin") or shutil.which(
        "chromium-browser", path="/usr/local/bin:/usr/bin"
    )


class Page:
    """One page of the browser, and what happened on it.

    `blocked` is what was asked of others. Taking each request in hand costs time; where `in_hand`
    is false they are only listened to, and the browser itself finds no other host.
    """

    def __init__(self, page: Any, url: str, in_hand: bool = True) -> None:
        self.page = page
        self.blocked: list[str] = []
        self.complaints: list[str] = []
        if in_hand:
            page.context.route("**/*", lambda route: self._let_through(route, url))
        else:
            page.on("request", lambda request: self._listen_to(request.url, url))
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _let_through(self, route: Any, url: str) -> None:
        if self._listen_to(route.request.url, url):
            route.continue_()
        else:
            route.abort()

    def _listen_to(self, asked: str, url: str) -> bool:
        ours = asked.startswith((url + "/", "data:", "blob:"))
        if not ours:
            self.blocked.append(asked)
        return ours

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=list(QUIET), headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browse(browser: Any, url: str) -> Iterator[Page]:
    """Yield an empty page that reaches `url` and nothing else, with no memory of others."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        yield Page(page, url)
    finally:
        context.close()
