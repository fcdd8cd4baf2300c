"""How a test looks at the dashboard: a page that reaches the service alone, and words for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.browser import Page
from tests.mosquitto import EmbeddedStandIn, Mosquitto, make_broker
from tests.service_process import ServiceProcess

_NUMBERS = itertools.count(1)
WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def own_topic(name: str = "plant") -> str:
    """Return a topic that no other test uses."""
    return f"{name}{next(_NUMBERS)}"


class Plant:
    """A service, its broker, and somebody who publishes."""

    def __init__(self, service: ServiceProcess, broker: Mosquitto | EmbeddedStandIn) -> None:
        self.service = service
        self.broker = broker

    def say(self, topic: str, *payloads: Any, **more: Any) -> None:
        """Publish, and return when every message is in the history."""
        messages = [{"topic": topic, "payload": one, "qos": 1, **more} for one in payloads]
        self.say_all(messages)

    def say_all(self, messages: list[dict[str, Any]]) -> None:
        """Publish messages of any topics; return when they are stored."""
        before = self.count()
        for at in range(0, len(messages), 1_000):
            answer = self.service.post("/publish/batch", {"messages": messages[at : at + 1_000]})
            assert answer.status == 200, answer.content
        self.service.wait_for(lambda: self.count() >= before + len(messages))

    def count(self) -> int:
        """Return how many messages the history has."""
        number: int = self.service.get("/health").json()["message_count"]
        return number


@contextmanager
def plant_in(directory: Path, **settings: str) -> Iterator[Plant]:
    """Run a service and its broker; at the end it must not have logged a traceback."""
    broker = make_broker(directory / "broker")
    broker.start()
    # However busy the machine is, a question is answered: a 503 is an error in the console.
    own = {"MQTT_BROKER_PORT": str(broker.port), "QUERY_TIMEOUT": "15"}
    service = ServiceProcess(directory, **{**own, **broker.settings, **settings})
    service.start(ready="API_KEY_REQUIRED" not in settings)
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    yield Plant(service, broker)
    service.kill()
    broker.stop()
    assert "Traceback" not in service.log(), service.log()


class HeldSocket:
    """The page's WebSocket, of which every frame waits from the first one with `words` on."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._waiting: list[tuple[Callable[[Any], None], Any]] = []
        self._held: set[int] = set()

    @property
    def is_waiting(self) -> bool:
        """Whether a frame waits."""
        return bool(self._waiting)

    def take(self, socket: Any) -> None:
        """Stand between a socket of the page and the service."""
        server = socket.connect_to_server()
        socket.on_message(lambda frame: self._pass(server.send, 0, frame))
        server.on_message(lambda frame: self._pass(socket.send, 1, frame))

    def _pass(self, send: Callable[[Any], None], direction: int, frame: Any) -> None:
        if self._words and self._words in str(frame):
            self._held.add(direction)
        if direction in self._held:
            self._waiting.append((send, frame))
        else:
            send(frame)

    def release(self) -> None:
        """Let everything through, now and from now on."""
        waiting, self._waiting = self._waiting, []
        self._words = ""
        self._held.clear()
        for send, frame in waiting:
            send(frame)


class Look:
    """The dashboard in a browser, as a person sees and touches it."""

    def __init__(self, seen: Page, url: str) -> None:
        self.seen = seen
        self.page = seen.page
        self.url = url

    def go(self, view: str, **params: str) -> None:
        """Open a view by its link."""
        query = "&".join(f"{name}={quote(text)}" for name, text in params.items())
        self.page.evaluate("hash => { location.hash = hash }", f"/{view}?{query}")

    def row(self, topic: str) -> Any:
        """Return the tree's row whose last level is this."""
        label = self.page.locator(".label").get_by_text(topic, exact=True)
        return self.page.locator(".tree .row:visible").filter(has=label)

    def cell(self, topic: str, name: str) -> str:
        """Return what a column of a row says."""
        text: str = self.row(topic).locator(f".{name}").first.inner_text()
        return text

    def wait_text(self, selector: str, text: str) -> None:
        """Wait until something that is shown has this text in it."""
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def wait_until(self, condition: str, argument: Any = None) -> None:
        """Wait until a JavaScript expression is true."""
        self.page.wait_for_function(condition, arg=argument)

    def search(self, text: str) -> None:
        """Type into the tree's search as one does: slash, then the words."""
        self.page.locator(".tree .grid").focus()
        self.page.keyboard.press("/")
        self.page.keyboard.type(text)

    def hold(self, address: str, words: str) -> HeldSocket:
        """Hold frames of sockets that are opened from now on with `address` in their own."""
        held = HeldSocket(words)
        self.page.route_web_socket(lambda url: address in url, held.take)
        return held

    def wait_for_frame(self, held: HeldSocket) -> None:
        """Wait until a frame is held."""
        for _ in range(1_500):
            if held.is_waiting:
                return
            self.page.wait_for_timeout(10)
        raise AssertionError("no such frame came")

    def run(self, script: str, argument: Any = None) -> Any:
        """Run a script in the page."""
        return self.page.evaluate(script, argument)


@contextmanager
def look_at(
    browser: Any,
    url: str,
    view: str = "",
    *,
    size: dict[str, int] | None = None,
    scheme: str = "light",
    touch: bool = False,
    expected: tuple[str, ...] = (),
) -> Iterator[Look]:
    """Open the dashboard; at the end nothing was asked of others and nothing was complained of,
    but for what is `expected`."""
    context = browser.new_context(
        viewport=size or WIDE,
        color_scheme=scheme,
        has_touch=touch,
        accept_downloads=True,
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        seen = Page(page, url, in_hand=False)
        page.goto(f"{url}/dashboard{view}", wait_until="domcontentloaded")
        page.locator(".dot").wait_for()
        yield Look(seen, url)
        assert seen.blocked == []
        complaints = [one for one in seen.complaints if not any(words in one for words in expected)]
        assert complaints == []
    finally:
        context.close()
