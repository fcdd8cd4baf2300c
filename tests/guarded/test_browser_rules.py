"""Which web pages may talk to the service, under which names, and how its own pages are kept."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.guarded.asking import (
    PROBLEM,
    UPGRADE,
    EventStream,
    Launch,
    ask,
    bearer,
    exchange,
    key_of,
    status_of,
    write_keys,
)
from tests.service_process import Answer, ServiceProcess

FRIEND = "https://panel.example"
# What is set -> (the setting, a way to tell whether an origin is allowed).
SETTINGS = {"listed": f"{FRIEND},http://other.lan:3000/", "empty": "", "star": "*"}
ORIGINS = {
    "listed": FRIEND,
    "listed with a port": "http://other.lan:3000",
    "our own": "http://127.0.0.1:{port}",
    "foreign": "https://evil.example",
    "other scheme": "http://panel.example",
    "other port": "https://panel.example:8443",
    "longer name": "https://panel.example.evil.example",
    "null": "null",
}
ALLOWED = {
    "listed": {"listed", "listed with a port", "our own"},
    "empty": {"our own"},
    "star": set(ORIGINS),
}


@pytest.fixture(scope="module")
def services(launch: Launch) -> Iterator[dict[str, ServiceProcess]]:
    """One service for each setting of CORS_ORIGINS."""
    yield {
        name: launch(CORS_ORIGINS=value, RATE_LIMIT_ENABLED="false", ALLOWED_HOSTS="gw.example")
        for name, value in SETTINGS.items()
    }


def events_head(service: ServiceProcess, headers: dict[str, str]) -> Answer:
    """Return the head of /events."""
    stream = EventStream(service, "", headers)
    content = b"" if stream.status == 200 else stream.answer.read()
    stream.close()
    return Answer(stream.status, stream.answer.headers, content)


@pytest.mark.parametrize("name", ORIGINS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_only_allowed_origins_pass(
    services: dict[str, ServiceProcess], setting: str, name: str
) -> None:
    """The handshake, the stream, the preflight, a POST and a GET follow one rule; credentials
    are never allowed, so that no page borrows what a browser remembers."""
    service = services[setting]
    origin = ORIGINS[name].format(port=service.port)
    allowed, from_page = name in ALLOWED[setting], {"Origin": origin}
    shown = "*" if setting == "star" else origin

    handshake = ask(service, "GET", "/ws", headers={**UPGRADE, **from_page})
    assert handshake.status == (101 if allowed else 403)
    stream = events_head(service, from_page)
    assert stream.status == (200 if allowed else 403)
    order = {"topic": "browser/rules", "payload": origin}
    posted = ask(service, "POST", "/publish", order, from_page)
    assert posted.status == (200 if allowed else 403)
    deleted = ask(service, "DELETE", "/messages?before=1", headers=from_page)
    assert deleted.status == (200 if allowed else 403)
    read = ask(service, "GET", "/messages", headers=from_page)
    assert read.status == 200  # a browser does not show it to a page that may not see it
    asked = {
        **from_page,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key,last-event-id",
    }
    preflight = ask(service, "OPTIONS", "/publish", headers=asked)
    assert (preflight.status, preflight.content) == (204, b"")

    for answer in (stream, posted, deleted, read, preflight):
        assert answer.headers["Access-Control-Allow-Origin"] == (shown if allowed else None)
        assert answer.headers["Access-Control-Allow-Credentials"] is None
        if setting != "star":
            assert "Origin" in answer.headers["Vary"]
    if allowed:
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        permitted = preflight.headers["Access-Control-Allow-Headers"].lower()
        for wanted in asked["Access-Control-Request-Headers"].split(","):
            assert wanted in permitted
        exposed = read.headers["Access-Control-Expose-Headers"]
        for wanted in ("Link", "X-Log-Position", "X-Log-Gap", "Retry-After", "ETag"):
            assert wanted in exposed
    else:
        assert preflight.headers["Access-Control-Allow-Methods"] is None
        assert posted.headers["Content-Type"] == PROBLEM


def test_errors_can_be_read_by_allowed_pages(services: dict[str, ServiceProcess]) -> None:
    """A page that may call sees why it failed: errors have the same headers."""
    for method, target, status in (
        ("GET", "/none", 404),
        ("GET", "/messages?limit=0", 422),
        ("PUT", "/messages", 405),
        ("GET", "/messages/999999", 404),
    ):
        answer = ask(services["listed"], method, target, headers={"Origin": FRIEND})
        assert answer.status == status
        assert answer.headers["Access-Control-Allow-Origin"] == FRIEND


def test_a_preflight_needs_no_key_and_a_page_can_use_one(launch: Launch) -> None:
    """Browsers send no key with a preflight; the request after it does."""
    directory = launch.new_directory()
    write_keys(directory / "keys.json", page={"scopes": ["read", "publish", "subscribe"]})
    shown = bearer(key_of("page"))
    service = launch(
        headers=shown,
        directory=directory,
        CORS_ORIGINS=FRIEND,
        API_KEY_REQUIRED="true",
        API_KEYS_FILE=str(directory / "keys.json"),
    )
    from_page = {"Origin": FRIEND}
    preflight = ask(service, "OPTIONS", "/events", headers=from_page)
    assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, FRIEND)
    refused = ask(service, "GET", "/messages", headers=from_page)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, FRIEND)
    assert events_head(service, {**from_page, **shown}).status == 200
    foreign = {**shown, "Origin": "https://evil.example"}
    assert events_head(service, foreign).status == 403
    assert ask(service, "POST", "/ws/ticket", headers=foreign).status == 403


HOSTS = {
    "127.0.0.1": True,
    "127.0.0.1:8000": True,
    "192.168.1.7:8000": True,
    "8.8.8.8": True,
    "[::1]:8000": True,
    "[2001:db8::5]": True,
    "localhost": True,
    "LOCALHOST:8000": True,
    "gateway": True,
    "gateway:8000": True,
    "mqtt-api": True,
    "gateway.local": True,
    "gateway.local.": True,
    "Gateway.LAN:8000": True,
    "db.internal": True,
    "pi.home.arpa": True,
    "app.localhost": True,
    "gw.example": True,
    "GW.example:8000": True,
    "gw.example.": True,
    "evil.example": False,
    "evil.example:8000": False,
    "gw.example.evil.example": False,
    "xgw.example": False,
    "local.evil.example": False,
    "127.0.0.1.evil.example": False,
    "evil.example.lan.example": False,
    "1.2.3.4.5": False,
    "home.arpa.": False,
    "lan.": True,
}


@pytest.mark.parametrize("host", HOSTS)
def test_only_names_that_can_be_ours_are_served(
    services: dict[str, ServiceProcess], host: str
) -> None:
    """Addresses, plain names, local suffixes and ALLOWED_HOSTS pass; any other dotted name, which
    a page outside could have pointed here, is a 421 whatever is asked for."""
    service, expected = services["star"], 200 if HOSTS[host] else 421
    for path in ("/", "/health", "/messages", "/docs", "/openapi.json"):
        answer = ask(service, "GET", path, headers={"Host": host})
        assert answer.status == expected, (path, answer.content[:200])
    ws = ask(service, "GET", "/ws", headers={**UPGRADE, "Host": host})
    assert ws.status == (101 if HOSTS[host] else 421)
    assert events_head(service, {"Host": host}).status == expected
    posted = ask(service, "POST", "/publish", {"topic": "h", "payload": 1}, {"Host": host})
    assert posted.status == expected
    unknown = ask(service, "GET", "/none", headers={"Host": host})
    assert unknown.status == (404 if HOSTS[host] else 421)
    preflight = ask(service, "OPTIONS", "/publish", headers={"Host": host})
    assert preflight.status == (204 if HOSTS[host] else 421)
    if not HOSTS[host]:
        assert "ALLOWED_HOSTS" in posted.json()["detail"]


def test_the_machines_own_name_is_ours(services: dict[str, ServiceProcess]) -> None:
    """Whatever this machine calls itself is served without a setting."""
    for name in {socket.gethostname(), socket.getfqdn()}:
        assert ask(services["star"], "GET", "/", headers={"Host": name}).status == 200


@pytest.mark.parametrize("line", [b"", b"Host:\r\n", b"Host: \r\n", b"Host: a@evil.example\r\n"])
def test_without_a_usable_host_nothing_is_served(
    services: dict[str, ServiceProcess], line: bytes
) -> None:
    """A request that names nobody, or hides a name, is refused."""
    raw = exchange(
        services["star"].port, b"GET /messages HTTP/1.1\r\n" + line + b"Connection: close\r\n\r\n"
    )
    assert status_of(raw) in (400, 421), raw


def test_rebinding_gains_a_page_nothing(services: dict[str, ServiceProcess]) -> None:
    """A page whose own name points here has an Origin equal to its Host, and is still refused."""
    service = services["empty"]
    headers = {
        "Host": f"evil.example:{service.port}",
        "Origin": f"http://evil.example:{service.port}",
    }
    assert ask(service, "GET", "/ws", headers={**UPGRADE, **headers}).status == 421
    assert ask(service, "GET", "/messages", headers=headers).status == 421
    body = {"topic": "a", "payload": 1}
    assert ask(service, "POST", "/publish", body, headers).status == 421


def test_a_star_is_warned_of(services: dict[str, ServiceProcess]) -> None:
    """The start says so when any page may call, and only then."""
    for name, service in services.items():
        assert ("any web page may call" in service.log()) is (name == "star")


@pytest.mark.parametrize("path", ["/dashboard", "/docs", "/redoc"])
def test_pages_are_kept_strictly(services: dict[str, ServiceProcess], path: str) -> None:
    """Pages may not be framed, load only from here, run no inline script and send no referrer."""
    answer = ask(services["empty"], "GET", path)
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "http" not in answer.headers["Content-Security-Policy"]
    assert "*" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"<script>" not in answer.content
    assert b"//" not in answer.content.replace(b"<!--", b"")


def test_nothing_is_sniffed_or_cached_by_mistake(services: dict[str, ServiceProcess]) -> None:
    """Every answer is nosniff; what others published is never rendered, and answers are not
    stored; nobody learns which server program this is."""
    service = services["star"]
    body = {
        "topic": "page",
        "payload": "<script>alert(1)</script>",
        "qos": 1,
        "properties": {"content_type": "text/html"},
    }
    assert ask(service, "POST", "/publish", body).status == 200
    service.wait_for(lambda: service.get("/topics/page").status == 200)
    number = service.get("/topics/page").json()["last_message"]["id"]
    payload = ask(service, "GET", f"/messages/{number}/payload")
    assert payload.headers["Content-Disposition"].startswith("attachment")
    for path in ("/", "/messages", "/none", "/assets/docs.js", f"/messages/{number}/payload"):
        answer = ask(service, "GET", path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] is None
        if not path.startswith("/assets"):
            assert answer.headers["Cache-Control"] == "no-store"
