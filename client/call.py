"""A request as a value, and an answer as a value.

Answers for: their form, and turning an answer into a result or an exception. Does not: do I/O;
sync_client.py and async_client.py carry calls to the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from client.errors import MQTTAPIError, error_of

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` finds names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str

    def json(self) -> Any:
        """Return the body read as JSON; MQTTAPIError where it is none."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise MQTTAPIError(
                f"{self.url} did not answer in JSON; is this the URL of the service?",
                status=self.status,
            ) from None


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request to be made. `path` begins with a slash and is percent-encoded."""

    method: str
    path: str
    read: Callable[[Answer], T_co]
    query: Pairs = ()
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    also: frozenset[int] = frozenset()
    """Statuses that are no errors here, besides 2xx."""
    patience_s: float = 0
    """Seconds that the service may take on purpose, on top of the client's time-out."""

    @property
    def is_harmless(self) -> bool:
        """Whether a repeat changes nothing."""
        return self.method == "GET"

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{encode_query(self.query)}" if self.query else self.path

    def result(self, answer: Answer) -> T_co:
        """Return what the answer says; raise the MQTTAPIError that it is."""
        if 200 <= answer.status < 300 or answer.status in self.also:
            try:
                return self.read(answer)
            except (KeyError, TypeError, AttributeError):
                raise MQTTAPIError(
                    f"{answer.url} answered something else; is this the URL of the service?",
                    status=answer.status,
                ) from None
        raise error_of(answer)


def encode_query(pairs: Pairs) -> str:
    """Return pairs as a query in which a plus is always a plus."""
    return urlencode(pairs, quote_via=quote, safe="/")


def encode_topic(topic: str) -> str:
    """Return a topic or filter as it stands in a path: slashes literal, all else encoded.

    Levels `.` and `..` would be taken for directories on the way, so their dots are encoded too.
    """
    levels = topic.split("/")
    return "/".join(
        level.replace(".", "%2E") if level in (".", "..") else quote(level, safe="")
        for level in levels
    )


def base_headers(api_key: str | None, version: str) -> dict[str, str]:
    """Return the headers of every request; the key goes here and never into a URL."""
    headers = {"User-Agent": f"ghostmesh-mqtt-api-client/{version}", "Accept": "*/*"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def check_url(url: str, *schemes: str) -> str:
    """Return a base URL without its closing slash; MQTTAPIError where it is none."""
    given = url.strip()
    try:
        parts = urlsplit(given)
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65,535, half an IPv6 address
        is_good = False
    if not is_good:
        wanted = f"{schemes[0]}://host:port"
        raise MQTTAPIError(f"{url!r} is no URL of the service; it looks like {wanted}")
    if "?" in given or "#" in given:
        raise MQTTAPIError(f"{url!r} has a query, which is no part of the service's URL")
    return given.rstrip("/")


def check_key(api_key: str | None) -> str | None:
    """Return a key that can go into a header; MQTTAPIError where it cannot. Empty is none."""
    key = (api_key or "").strip()
    if not key.isascii() or not all(character.isprintable() for character in key):
        raise MQTTAPIError("the key has characters that no key has")
    return key or None
