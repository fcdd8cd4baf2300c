"""The synchronous client: a thin shell that carries calls over httpx2.

Answers for: the methods, their names and defaults. Does not: know endpoints (calls.py and
history_calls.py do) or send (sync_carrier.py does).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, overload
from weakref import WeakSet

import httpx2

from client import calls, history_calls, shapes
from client.call import Call, base_headers, check_key, check_url
from client.errors import MQTTAPIError
from client.export_file import Exported, ExportFile, ExportProgress, Form
from client.history_calls import Moment, Order, Topics, pairs
from client.retry import RetryPolicy
from client.sockets import socket_url, socket_way
from client.stream_state import Gaps, StreamOptions, StreamState, Transport, use_socket
from client.sync_carrier import Carrier
from client.sync_feeds import EventFeed, Feed, SocketFeed
from client.sync_stream import MessageStream
from client.values import Gap, Message, Topic
from client.version import VERSION
from client.wire import Verify, described, event_way, time_out, trust_of

P = ParamSpec("P")
T = TypeVar("T")


def _carry(build: Callable[P, Call[T]]) -> Callable[Concatenate[MQTTAPIClient, P], T]:
    """Return the method that carries out the calls that `build` makes."""

    def method(self: MQTTAPIClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._carrier.perform(build(*args, **kwargs))

    return described(method, build)


class MQTTAPIClient:
    """The service, for programs that wait. Safe to share between threads.

    `timeout` is in seconds without a byte from the service (None waits for ever); a call that
    may take long on purpose gets that much more. `verify` names a file of certificate authorities
    to trust, or is an SSLContext. Use it as a context manager, or `close` it.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        timeout: float | None = 30.0,
        *,
        api_key: str | None = None,
        retry: RetryPolicy | None = None,
        verify: Verify = None,
        session: httpx2.Client | None = None,
    ) -> None:
        self.base_url = check_url(base_url, "http", "https")
        self.timeout = timeout
        self.retry = retry or RetryPolicy()
        self._headers = base_headers(check_key(api_key), VERSION)
        self._trust = trust_of(verify)
        self.session = session or httpx2.Client(
            timeout=time_out(timeout), verify=self._trust or True
        )
        """The connections; whoever brings an own one sets proxies, certificates and limits."""
        self._carrier = Carrier(self.session, self.base_url, self._headers, timeout, self.retry)
        self._streams: WeakSet[MessageStream[Any]] = WeakSet()

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

    def publish_many(self, messages: Iterable[calls.Publishable]) -> list[shapes.Outcome]:
        """Publish any number of messages in order, a thousand a request; the outcome of each.

        A message is an Outgoing, a Message, a `(topic, payload)` pair or a dictionary. A bad one
        does not stop the others: look at `status`. What fails as a whole has `outcomes`, those of
        the messages before it.
        """
        outcomes: list[shapes.Outcome] = []
        try:
            for call in calls.batches(messages):
                outcomes += calls.renumbered(self._carrier.perform(call), len(outcomes))
        except MQTTAPIError as error:
            error.outcomes = outcomes
            raise
        return outcomes

    def messages(
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
    ) -> Iterator[Message]:
        """Yield every message of a selection, page by page: newest first, or oldest first with
        `after` or `order="asc"`. See `get_messages` for the rest.

        It ends with what there was when it began. LogGap where retention took what `after`
        points at, unless `gaps="ignore"`.
        """
        query = pairs(topic=topic, after=after, before=before, since=since, until=until)
        query += pairs(order=order, qos=qos, retain=retain, contains=contains)
        yield from self._carrier.pages(history_calls.messages(query, limit, gaps))

    def topics(self, topic: Topics = None, *, prefix: str | None = None) -> Iterator[Topic]:
        """Yield the topics that have messages, with counts and last message, page by page."""
        yield from self._carrier.pages(history_calls.topics(topic, prefix))

    @overload
    def stream(
        self, topic: Topics = ..., *, gaps: Literal["raise"] = ..., **options: Unpack[StreamOptions]
    ) -> MessageStream[Message]: ...
    @overload
    def stream(
        self, topic: Topics = ..., *, gaps: Literal["yield"], **options: Unpack[StreamOptions]
    ) -> MessageStream[Message | Gap]: ...
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
    ) -> MessageStream[Any]:
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
        feed: Feed
        if is_socket:
            url = socket_url(self.base_url)
            feed = SocketFeed(socket_way(url, self._headers, heartbeat, self._trust))
        else:
            way = event_way(self.base_url, self._headers, heartbeat)
            feed = EventFeed(self.session, way)
        stream = MessageStream[Any](feed, state)
        self._streams.add(stream)
        return stream

    def export(
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

        def take(response: httpx2.Response) -> None:
            file.begin(response.headers)
            for data in response.iter_bytes():
                shown = file.write(data)
                if progress is not None:
                    progress(shown)

        self._carrier.transfer(file.call, take, count=lambda: file.messages, pause=file.pause)
        return file.finish()

    def backup(self, path: str | os.PathLike[str]) -> Path:
        """Write a consistent copy of the service's database. For administrators."""
        return self._carrier.download(history_calls.backup(), Path(path))

    def close(self) -> None:
        """End its streams and connections. Safe to repeat."""
        for stream in list(self._streams):
            stream.close()
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
