"""The client speaks the whole contract: each operation of the published document, on both shells.

What the service answers to them is the matter of test_library.py; here it is what is asked.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from client import AsyncMQTTAPIClient, MQTTAPIClient, MQTTAPIError, RetryPolicy
from tests.service_process import ROOT

DOCUMENT = json.loads((ROOT / "handlers/openapi.json").read_text("utf-8"))
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method != "parameters"
}
# Pages and files for people; no program reads them.
FOR_PEOPLE = {"getDocs", "getReDoc", "getAsset", "getDashboard", "getDashboardFile"}
# operation -> the methods that carry it out, each with arguments to try.
METHODS: dict[str, dict[str, tuple[Any, ...]]] = {
    "getRoot": {"info": ()},
    "getHealth": {"health_check": ()},
    "getLive": {"live": ()},
    "getReady": {"ready": ()},
    "getStats": {"get_statistics": ()},
    "getOpenApi": {"openapi": ()},
    "getAsyncApi": {"asyncapi": ()},
    "getMetrics": {"metrics": ()},
    "whoAmI": {"whoami": ()},
    "makeTicket": {"ticket": ()},
    "publish": {"publish": ("a/b", "1")},
    "publishBatch": {"publish_many": ([("a/b", 1)],)},
    "request": {"request": ("a/b", "?")},
    "subscribe": {"subscribe": ("a/#",)},
    "unsubscribe": {"unsubscribe": ("a/+/#",)},
    "listSubscriptions": {"subscriptions": ()},
    "listMessages": {"get_messages": (), "messages": ()},
    "getMessage": {"message": (1,)},
    "getPayload": {"payload": (1,)},
    "purgeMessages": {"purge": ()},
    "listTopics": {"get_topics": (), "topics": ()},
    "getTopic": {"topic": ("a/b c",)},
    "getSeries": {"series": ("a/b",)},
    "exportMessages": {"export": ("{directory}/export",)},
    "backup": {"backup": ("{directory}/backup",)},
    "openEvents": {"stream": ()},
    "openWebSocket": {"stream": ()},
}
# What the client decides itself: in which form it speaks, and where the next page begins.
DECIDED = {
    "publish": {"encoding"},
    "request": {"encoding"},
    "publishBatch": {"messages"},
    "listMessages": {"format"},
    "listTopics": {"details", "after"},
    # A ticket is for browsers and `conflate` for screens; `limit` is what leaving a loop does.
    "openEvents": {"conflate", "limit", "ticket"},
    "openWebSocket": {"batch", "conflate", "ticket"},
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document behind its reference."""
    while "$ref" in part:
        found: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def offered(operation: dict[str, Any]) -> set[str]:
    """Return the names of what a caller may say: in the query and in a JSON body."""
    parameters = [resolved(one) for one in operation.get("parameters", ())]
    names = {one["name"] for one in parameters if one["in"] == "query"}
    body = resolved(operation.get("requestBody", {})).get("content", {})
    schema = resolved(body.get("application/json", {}).get("schema", {}))
    return names | set(schema.get("properties", ()))


def test_the_client_knows_every_operation_of_the_document() -> None:
    """An operation that is added to the service is added here, or is a page for people."""
    assert set(OPERATIONS) - FOR_PEOPLE == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_whatever_an_operation_takes_the_client_can_say(name: str) -> None:
    """Each query parameter and each field of a body is an argument, by the same name."""
    arguments = {
        argument
        for method in METHODS[name]
        for argument in inspect.signature(getattr(MQTTAPIClient, method)).parameters
    }
    assert offered(OPERATIONS[name][2]) - DECIDED.get(name, set()) <= arguments


class Asked:
    """Stands for the network: notes what is asked for, and answers nothing of use."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.lines.append(f"{request.method} {request.url.raw_path.decode().partition('?')[0]}")
        return httpx2.Response(200, json={})


def matches(name: str, line: str) -> bool:
    method, path, _ = OPERATIONS[name]
    pattern = "".join("(.+)" if part[:1] == "{" else part for part in re.split(r"({\w+})", path))
    return re.fullmatch(f"{method} {pattern}", line) is not None


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"openWebSocket"}))
async def test_each_operation_is_asked_for_as_the_document_says(name: str, tmp_path: Path) -> None:
    """Method and path, on both shells; an answer of something else is an error of ours."""
    once = RetryPolicy(attempts=1)
    for method, given in METHODS[name].items():
        arguments = [
            one.format(directory=tmp_path) if isinstance(one, str) else one for one in given
        ]
        options = {"transport": "sse"} if name == "openEvents" else {}
        asked = Asked()
        session = httpx2.Client(transport=httpx2.MockTransport(asked))
        with MQTTAPIClient("http://gateway/", retry=once, session=session) as client:
            try:
                found = getattr(client, method)(*arguments, **options)
                if hasattr(found, "__next__"):
                    next(found, None)
            except MQTTAPIError as error:
                assert "is this the URL of the service?" in error.detail
        connections = httpx2.AsyncClient(transport=httpx2.MockTransport(asked))
        async with AsyncMQTTAPIClient("http://gateway", retry=once, client=connections) as other:
            try:
                found = getattr(other, method)(*arguments, **options)
                await (anext(found, None) if hasattr(found, "__anext__") else found)
            except MQTTAPIError as error:
                assert "is this the URL of the service?" in error.detail
        assert len(asked.lines) == 2 and all(matches(name, line) for line in asked.lines), (
            asked.lines
        )
