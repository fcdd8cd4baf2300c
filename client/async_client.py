"""The asynchronous client: a thin shell that carries calls over httpx2.

Answers for: the methods, their names and defaults. Does not: know endpoints (calls.py and
history_calls.py do) or send (async_carrier.py does).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, overload
from weakref import WeakSet

import httpx2

from client import calls, history_calls, shapes
from client.async_carrier import AsyncCarrier
from client.async_feeds import AsyncEventFeed, AsyncFeed, AsyncSocketFeed
from client.async_stream import AsyncMessageStream
from client.call import Call, base_headers, check_key, check_url
from client.errors import MQTTAPIError
from client.export_file import Exported, ExportFile, ExportProgress, Form
from client.history_calls import Moment, Order, Topics, pairs
from client.retry import RetryPolicy
from client.sockets import socket_url, socket_way
from client.stream_state import Gaps, StreamOptions, StreamState, Transport, use_socket
from client.values import Gap, Message, Topic
from client.version import VERSION
from client.wire import Verify, described, event_way, time_out, trust_of

P = ParamSpec("P")
T = TypeVar("T")


def _carry(
    build: Callable[P, Call[T]],
) -> Callable[Concatenate[AsyncMQTTAPIClient, P], Coroutine[Any, Any, T]]:
    """Return the method that carries out the calls that `build` makes."""

    async def method(self: AsyncMQTTAPIClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._carrier.perform(build(*args, **kwargs))

    return described(method, build)


class AsyncMQTTAPIClient:
    """The service, for programs on asyncio. Use it on one event loop.

    `timeout` is in seconds without a byte from the service (None waits for ever); a call that
    may take long on purpose gets that much more. `verify` names a file of certificate authorities
    to trust, or is an SSLContext. Use it as an async context manager, or `aclose` it.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        timeout: float | None = 30.0,
        *,
        api_key: str | None = None,
        retry: RetryPolicy | None = None,
        verify: Verify = None,
        client: httpx2.AsyncClient | None = None,
    ) -> None:
        self.base_url = check_url(base_url, "http", "https")
        self.timeout = timeout
        self.retry = retry or RetryPolicy()
        self._headers = base_headers(check_key(api_key), VERSION)
        self._trust = trust_of(verify)
        self.client = client or httpx2.AsyncClient(
            timeout=time_out(timeout), verify=self._trust or True
        )
        """The connections; whoever brings an own one sets proxies, certificates and limits."""
        self._carrier = AsyncCarrier(self.client, self.base_url, self._headers, timeout, self.retry)
        self._streams: WeakSet[AsyncMessageStream[Any]] = WeakSet()

    info = _carry(calls.info)
    health_check = _carry(calls.health_check)
    live = _carry(calls.live)
    ready = _carry(calls.ready)
    get_statistics = _carry(calls.get_statistics)
    whoami = _carry(calls.whoami)
    metrics = _carry(calls.metrics)
    openapi = _carry(calls.openapi)
    asyncapi = _carry(calls.asyncapi)
    ticket = _carry(calls.ticket)
    publish = _carry(calls.publish)
    request = _carry(calls.request)
    subscribe = _carry(calls.subscribe)
    unsubscribe = _carry(calls.unsubscribe)
    subscriptions = _carry(calls.subscriptions)
    get_messages = _carry(history_calls.get_messages)
    message = _carry(history_calls.message)
    payload = _carry(history_calls.payload)
    purge = _carry(history_calls.purge)
    get_topics = _carry(history_calls.get_topics)
    topic = _carry(history_calls.topic)
    series = _carry(history_calls.series)

    async def publish_many(self, messages: Iterable[calls.Publishable]) -> list[shapes.Outcome]:
        """Publish any number of messages in order, a thousand a request; the outcome of each.

        A message is an Outgoing, a Message, a `(topic, payload)` pair or a dictionary. A bad one
        does not stop the others: look at `status`. What fails as a whole has `outcomes`, those of
        the messages before it.
        """
        outcomes: list[shapes.Outcome] = []
        try:
            for call in calls.batches(messages):
                outcomes += calls.renumbered(await self._carrier.perform(call), len(outcomes))
        except MQTTAPIError as error:
            error.outcomes = outcomes
            raise
        return outcomes

    async def messages(
        self,
        topic: Topics = None,
        *,
        limit: int | None = None,
        after: str | int | None = None,
        before: str | int | None = None,
        since: Moment = None,
        until: Moment = None,
        order: Order | None = None,
        qos: int | None = None,
        retain: bool | None = None,
        contains: str | None = None,
        gaps: Literal["raise", "ignore"] = "raise",
    ) -> AsyncIterator[Message]:
        """Yield every message of a selection, page by page: newest first, or oldest first with
        `after` or `order="asc"`. See `get_messages` for the rest.

        It ends with what there was when it began. LogGap where retention took what `after`
        points at, unless `gaps="ignore"`.
        """
        query = pairs(topic=topic, after=after, before=before, since=since, until=until)
        query += pairs(order=order, qos=qos, retain=retain, contains=contains)
        async for message in self._carrier.pages(history_calls.messages(query, limit, gaps)):
            yield message

    async def topics(
        self, topic: Topics = None, *, prefix: str | None = None
    ) -> AsyncIterator[Topic]:
        """Yield the topics that have messages, with counts and last message, page by page."""
        async for found in self._carrier.pages(history_calls.topics(topic, prefix)):
            yield found

    @overload
    def stream(
        self, topic: Topics = ..., *, gaps: Literal["raise"] = ..., **options: Unpack[StreamOptions]
    ) -> AsyncMessageStream[Message]: ...
    @overload
    def stream(
        self, topic: Topics = ..., *, gaps: Literal["yield"], **options: Unpack[StreamOptions]
    ) -> AsyncMessageStream[Message | Gap]: ...
    def stream(
        self,
        topic: Topics = "#",
        *,
        since: Moment = None,
        after: str | int | None = None,
        gaps: Gaps = "raise",
        cursor: str | os.PathLike[str] | None = None,
        heartbeat: float = 20.0,
        transport: Transport = "websocket",
    ) -> AsyncMessageStream[Any]:
        """Follow the log from a position (`after`), a time (`since`, or "all"), or now.

        It connects again by itself and goes on behind the last message that you have finished
        with. What retention took meanwhile raises LogGap, or comes as a Gap with `gaps="yield"`.
        With `cursor`, a file, it also goes on there after a restart of your program. A service
        silent for two heartbeats (seconds) is given up and connected to again. Where no WebSocket
        gets through, `transport="sse"` does the same over Server-Sent Events.
        """
        is_socket = use_socket(transport)
        state = StreamState(
            topic,
            after=after,
            since=since,
            gaps=gaps,
            cursor=cursor,
            retry=self.retry,
            batch=is_socket,
        )
        feed: AsyncFeed
        if is_socket:
            url = socket_url(self.base_url)
            feed = AsyncSocketFeed(socket_way(url, self._headers, heartbeat, self._trust))
        else:
            way = event_way(self.base_url, self._headers, heartbeat)
            feed = AsyncEventFeed(self.client, way)
        stream = AsyncMessageStream[Any](feed, state)
        self._streams.add(stream)
        return stream

    async def export(
        self,
        path: str | os.PathLike[str],
        topic: Topics = None,
        *,
        after: str | int | None = None,
        before: str | int | None = None,
        since: Moment = None,
        until: Moment = None,
        qos: int | None = None,
        retain: bool | None = None,
        contains: str | None = None,
        format: Form = "ndjson",
        raw: bool = False,
        progress: Callable[[ExportProgress], None] | None = None,
        resume: bool = True,
    ) -> Exported:
        """Write a selection into a file, oldest first; `progress` hears how far it is.

        The file appears when it is whole. What a break left behind (`<path>.<epoch>.part`) is
        taken up by the next call, unless `resume=False`; so ask for the same selection. CSV
        guards cells that a spreadsheet would run, unless `raw`.
        """
        query = pairs(topic=topic, after=after, before=before, since=since, until=until)
        query += pairs(qos=qos, retain=retain, contains=contains)
        file = ExportFile(Path(path), query, format, raw, resume)

        async def take(response: httpx2.Response) -> None:
            file.begin(response.headers)
            async for data in response.aiter_bytes():
                shown = file.write(data)
                if progress is not None:
                    progress(shown)

        await self._carrier.transfer(file.call, take, count=lambda: file.messages, pause=file.pause)
        return file.finish()

    async def backup(self, path: str | os.PathLike[str]) -> Path:
        """Write a consistent copy of the service's database. For administrators."""
        return await self._carrier.download(history_calls.backup(), Path(path))

    async def aclose(self) -> None:
        """End its streams and connections. Safe to repeat."""
        for stream in list(self._streams):
            await stream.aclose()
        await self.client.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
