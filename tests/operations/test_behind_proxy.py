"""Everything works under a path prefix, behind nginx with the example that we ship."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from client import MQTTAPIClient
from tests.browser import chromium
from tests.dashboard.looking import look_at
from tests.mosquitto import EmbeddedStandIn, Mosquitto, mosquitto_path
from tests.operations.nginx import EXAMPLE, Nginx
from tests.service_process import Answer, ServiceProcess

pytestmark = pytest.mark.needs_nginx
PREFIX = "/mqtt"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The service with the settings that the example names."""
    directory = tmp_path_factory.mktemp("behind")
    broker = Mosquitto(directory / "broker") if mosquitto_path() else EmbeddedStandIn()
    broker.start()
    settings = dict(re.findall(r"^#   ([A-Z_]+)=(\S+) ", EXAMPLE.read_text(), re.MULTILINE))
    assert settings.pop("ALLOWED_HOSTS") == "..."
    assert settings["API_ROOT_PATH"] == PREFIX
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(broker.port),
        CORS_ORIGINS="",
        **{**broker.settings, **settings},
    )
    process.start(ready=True)
    yield process
    process.kill()
    broker.stop()
    assert "Traceback" not in process.log(), process.log()


@pytest.fixture(scope="module")
def proxy(
    service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A caller's view through nginx: the same questions, at another address."""
    nginx = Nginx(tmp_path_factory.mktemp("nginx"), service.port)
    nginx.start()
    caller = ServiceProcess(service.directory)
    caller.port, caller.url = nginx.port, nginx.url + PREFIX
    yield caller
    nginx.stop()


def without_following(proxy: ServiceProcess, path: str, **headers: str) -> Answer:
    """Ask once; a redirection is the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return found


def test_the_root_and_its_redirections_stay_under_the_prefix(proxy: ServiceProcess) -> None:
    """GET /mqtt/ names /mqtt/docs; a browser is sent there; /mqtt goes to /mqtt/."""
    root = proxy.get("/").json()
    assert (root["docs"], root["health"]) == ("/mqtt/docs", "/mqtt/health")
    sent_on = without_following(proxy, "/mqtt/", Accept="text/html")
    assert sent_on.status == 302
    target = urljoin("/mqtt/", sent_on.headers["Location"])
    assert target.startswith("/mqtt/") and without_following(proxy, target).status == 200
    bare = without_following(proxy, "/mqtt")
    assert bare.status == 308 and bare.headers["Location"].endswith("/mqtt/")


def test_pages_load_what_they_need_and_descriptions_name_the_prefix(proxy: ServiceProcess) -> None:
    """Every file that a page names is there under the prefix; `servers` and addresses have it."""
    for page in ("/dashboard", "/docs", "/redoc"):
        text = proxy.get(page).content.decode()
        files = re.findall(r'(?:src|href)="([^"]+)"', text)
        own = [file for file in files if not file.startswith(("data:", "#"))]
        assert own
        for file in own:
            path = urljoin(PREFIX + page, file)
            assert path.startswith(PREFIX), f"{page} names {file}"
            assert without_following(proxy, path).status == 200, path
    assert proxy.get("/openapi.json").json()["servers"][0]["url"] == PREFIX
    channels = proxy.get("/asyncapi.json").json()["channels"]
    assert {channel["address"] for channel in channels.values()} == {"/mqtt/ws", "/mqtt/events"}


@pytest.mark.parametrize("topic", ["plain/topic", "a//b", "50% of 1?", "ä/ö"])
def test_topics_pass_through_unchanged(proxy: ServiceProcess, topic: str) -> None:
    """Double slashes, percent and question marks arrive as they were sent."""
    assert proxy.post("/publish", {"topic": topic, "payload": "x", "qos": 1}).status == 200
    proxy.wait_for(lambda: proxy.get(f"/topics/{quote(topic)}").status == 200)
    assert proxy.get(f"/topics/{quote(topic)}").json()["topic"] == topic


def test_filters_in_a_path_pass_through_unchanged(proxy: ServiceProcess) -> None:
    """DELETE /subscribe/ takes `+` and %23 behind the proxy, too."""
    assert proxy.post("/subscribe", {"topic": "far/+//#"}).status == 200
    assert proxy.request("DELETE", "/subscribe/far/+//%23").json()["data"]["topic"] == "far/+//#"


def test_pages_of_a_list_are_followed(proxy: ServiceProcess) -> None:
    """`Link` leads on under the prefix, and the client works with the address."""
    for number in range(3):
        proxy.post("/publish", {"topic": "listed", "payload": str(number), "qos": 1})
    proxy.wait_for(lambda: len(proxy.get("/messages?topic=listed").json()) == 3)
    first = proxy.get("/messages?topic=listed&limit=2")
    (target,) = re.findall(r'<([^>]+)>; rel="next"', first.headers["Link"])
    following = without_following(proxy, urljoin(f"{PREFIX}/messages", target))
    assert [one["payload"] for one in following.json()] == ["0"]
    with MQTTAPIClient(proxy.url) as client:
        assert client.health_check()["status"] == "healthy"
        assert len(client.get_messages(topic="listed")) == 3


def test_the_largest_payload_passes_and_what_is_larger_is_ours_to_refuse(
    proxy: ServiceProcess,
) -> None:
    """1 MiB goes through; beyond it the answer is our 413 with its sentence, not nginx's page."""
    topic = {"topic": "large", "qos": 1}
    assert proxy.post("/publish", {**topic, "payload": "x" * 2**20}).status == 200
    refused = proxy.post("/publish", {**topic, "payload": "x" * (2**20 + 1)})
    assert refused.status == 413 and "detail" in refused.json()


async def test_streams_pass_through(proxy: ServiceProcess) -> None:
    """A WebSocket and an SSE stream bring a message while they are open."""
    socket = await websocket_connect(proxy.url.replace("http", "ws") + "/ws?topic=live")
    assert json.loads(await socket.read_message() or "")["type"] == "welcome"
    await socket.write_message('{"action": "publish", "topic": "live", "payload": "1", "qos": 1}')
    frames: list[dict[str, Any]] = []
    while not any(frame["type"] == "message" for frame in frames):
        frames.append(json.loads(await socket.read_message() or ""))
    socket.close()
    events = await AsyncHTTPClient().fetch(
        HTTPRequest(proxy.url + "/events?topic=live&after=0&limit=1", request_timeout=10)
    )
    assert b"event: message" in events.body


@pytest.mark.needs_chromium
def test_the_dashboard_works_under_the_prefix(proxy: ServiceProcess) -> None:
    """Led there from /mqtt/, a person sees the tree, a chart and the live log, and publishes; the
    page asks for nothing outside the prefix, and a slash too much leads back to it."""
    for number in (10, 20):
        proxy.post("/publish", {"topic": "seen/value", "payload": str(number), "qos": 1})
    proxy.wait_for(lambda: len(proxy.get("/messages?topic=seen/value").json()) == 2)
    with chromium() as browser, look_at(browser, proxy.url, "/") as seen:
        seen.wait_until("path => location.pathname === path", f"{PREFIX}/dashboard")
        seen.page.goto(f"{proxy.url}/")
        seen.wait_until("path => location.pathname === path", f"{PREFIX}/dashboard")
        sockets: list[str] = []
        seen.page.on("websocket", lambda socket: sockets.append(socket.url))
        seen.go("topic", t="seen/value", range="5m")
        seen.wait_text(".tree .row[aria-selected=true]", "20")
        seen.wait_text(".value-card .content", "20")
        seen.page.locator(".plot canvas").wait_for()
        seen.go("live", filter="seen/#")
        seen.wait_text(".live .foot", "Following")
        proxy.post("/publish", {"topic": "seen/other", "payload": "by another", "qos": 1})
        seen.wait_text(".log .row .line", "by another")
        seen.go("publish", topic="seen/value")
        seen.page.locator("#publish-payload").fill("30")
        seen.page.get_by_role("button", name="Publish", exact=True).click()
        seen.wait_text(".act .result", "Confirmed by the broker")
        seen.go("topic", t="seen/value", range="5m")
        seen.wait_text(".value-card .content", "30")
        for name in ("Export CSV", "PNG"):
            with seen.page.expect_download():
                seen.page.get_by_role("button", name=name, exact=True).click()
        assert sockets
        address = proxy.url.replace("http", "ws") + "/ws?"
        assert not [one for one in sockets if not one.startswith(address)]


def test_our_own_pages_may_send_and_the_caller_is_known(proxy: ServiceProcess) -> None:
    """With CORS_ORIGINS empty a page from the proxy's address may publish, others may not; and
    the audit has the caller that the proxy names."""
    own, foreign = f"http://127.0.0.1:{proxy.port}", "http://elsewhere.example"
    body = {"topic": "audited", "payload": "", "qos": 1}
    assert proxy.post("/publish", body, {"Origin": own}).status == 200
    assert proxy.post("/publish", body, {"Origin": foreign}).status == 403
    proxy.post("/publish", body, {"X-Forwarded-For": "192.0.2.7"})
    told = "from=192.0.2.7 publish 'audited'"  # written after the answer is on its way
    proxy.wait_for(lambda: told in proxy.log())
