"""The two documentation pages in a real browser with no internet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import Page, browse, chromium
from tests.guarded.asking import Launch, bearer, key_of, write_keys
from tests.guarded.documents import OpenApiJudge
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all pages."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that wants no key."""
    yield launch(CORS_ORIGINS="")


@pytest.fixture(scope="module")
def locked(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that wants one."""
    directory = launch.new_directory()
    write_keys(directory / "keys.json", page={"scopes": ["read", "publish", "subscribe"]})
    yield launch(
        headers=bearer(key_of("page")),
        directory=directory,
        CORS_ORIGINS="",
        API_KEY_REQUIRED="true",
        API_KEYS_FILE=str(directory / "keys.json"),
    )


def try_out(seen: Page, operation: str) -> tuple[str, str]:
    """Open an operation, press Execute, and return the status and the body that are shown."""
    block = seen.page.locator(f".opblock[id$='-{operation}']")
    if "is-open" not in (block.get_attribute("class") or ""):
        block.locator(".opblock-summary-control").click()
    block.locator(".execute").click()
    row = block.locator(".live-responses-table tbody tr.response").first
    row.wait_for()
    status = row.locator(".response-col_status").inner_text().split()[0]
    return status, row.locator(".response-col_description").inner_text()


def operations(service: ServiceProcess) -> int:
    """Return how many operations the document has."""
    return len(OpenApiJudge(service.get("/openapi.json").json()).operations())


def test_swagger_ui_shows_and_tries_everything(browser: Any, service: ServiceProcess) -> None:
    """/docs shows every operation, asks nobody else for anything, complains of nothing, and
    "Try it out" of a read and of a publish works."""
    with browse(browser, service.url) as seen:
        seen.page.goto(f"{service.url}/docs")
        seen.page.locator(".opblock").first.wait_for()
        assert seen.page.locator(".opblock").count() == operations(service)
        status, shown = try_out(seen, "getHealth")
        assert status == "200"
        assert '"healthy"' in shown
        status, shown = try_out(seen, "publish")
        assert status == "200"
        assert "Message published successfully" in shown
        assert seen.blocked == []
        assert seen.complaints == []
    topic = "/topics/factory/line1/press1/temperature"
    service.wait_for(lambda: service.get(topic).status == 200)


def test_swagger_ui_takes_a_key(browser: Any, locked: ServiceProcess) -> None:
    """Without a key an operation shows its 401; with one entered under Authorize it works."""
    with browse(browser, locked.url) as seen:
        seen.page.goto(f"{locked.url}/docs")
        seen.page.locator(".opblock").first.wait_for()
        assert try_out(seen, "publish")[0] == "401"
        for field, operation in (("auth-bearer-value", "publish"), ("api_key_value", "whoAmI")):
            seen.page.locator(".auth-wrapper > .authorize").first.click()
            entry = seen.page.locator(f"#{field}, [aria-label='{field}']").first
            entry.fill(key_of("page"))
            form = seen.page.locator(".modal-ux form").filter(has=entry)
            form.locator("button.authorize").click()
            seen.page.locator(".modal-ux .btn-done").first.click()
            seen.page.wait_for_selector(".modal-ux", state="detached")
            block = seen.page.locator(f".opblock[id$='-{operation}']")
            if block.locator(".btn-clear").count():
                block.locator(".btn-clear").click()
            status, _ = try_out(seen, operation)
            assert status == "200", field
            seen.page.locator(".auth-wrapper > .authorize").first.click()
            seen.page.locator(".modal-ux form").filter(has_text="Authorized").locator(
                "button", has_text="Logout"
            ).first.click()
            seen.page.locator(".modal-ux .btn-done").first.click()
        assert seen.blocked == []
        complaints = [one for one in seen.complaints if "401 (Unauthorized)" not in one]
        assert complaints == []
    assert key_of("page") not in locked.log()


def test_redoc_shows_everything(browser: Any, service: ServiceProcess) -> None:
    """/redoc shows every operation and finds one by searching; all it asks others for is its
    maker's logo, which the page's policy blocks."""
    with browse(browser, service.url) as seen:
        seen.page.goto(f"{service.url}/redoc")
        seen.page.locator("h2", has_text="Publish a message").first.wait_for()
        named = seen.page.locator("[id^='tag/'][id*='operation/']")
        assert named.count() >= operations(service)
        seen.page.locator("input[type=text], input[placeholder*=Search]").first.fill("purge")
        seen.page.locator("[role=menuitem] >> text=Remove messages for good").first.wait_for()
        others = [one for one in seen.complaints if "cdn.redoc.ly" not in one]
        assert others == []
        assert all("cdn.redoc.ly" in url for url in seen.blocked)
