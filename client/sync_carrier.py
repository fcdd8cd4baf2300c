"""Carries calls to the service over httpx2, and waits between attempts.

Answers for: sending, repeating where that is harmless, pages, and downloads that are taken up
again. Does not: know endpoints. async_carrier.py is the same with `await`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from client.call import Call
from client.errors import MQTTAPIError, error_of
from client.history_calls import Page
from client.retry import RetryPolicy
from client.wire import FAILURES, answer_of, failure_of, time_out

T = TypeVar("T")


class Carrier:
    """The way to one service. Safe to share between threads."""

    def __init__(
        self,
        session: httpx2.Client,
        base_url: str,
        headers: dict[str, str],
        timeout_s: float | None,
        retry: RetryPolicy,
    ) -> None:
        self._session = session
        self._base_url = base_url
        self._headers = headers
        self._timeout_s = timeout_s
        self._retry = retry

    def perform(self, call: Call[T]) -> T:
        """Carry out one call, as often as its kind and the policy allow."""
        attempt = 1
        while True:
            try:
                return call.result(answer_of(self._send(call)))
            except MQTTAPIError as error:
                wait_s = self._retry.wait(error, attempt, harmless=call.is_harmless)
                if wait_s is None:
                    raise
            time.sleep(wait_s)
            attempt += 1

    def _send(self, call: Call[Any]) -> httpx2.Response:
        try:
            return self._session.request(
                call.method,
                self._base_url + call.target,
                content=call.content,
                headers={**self._headers, **call.headers},
                timeout=time_out(self._timeout_s, call),
            )
        except FAILURES as error:
            raise failure_of(error, self._base_url) from error

    def pages(self, call: Call[Page[T]] | None) -> Iterator[T]:
        """Yield the items of a page and of all that follow."""
        while call is not None:
            page = self.perform(call)
            yield from page.items
            call = page.following

    def transfer(
        self,
        call: Callable[[], Call[None]],
        take: Callable[[httpx2.Response], None],
        *,
        count: Callable[[], int] = lambda: 0,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand a streamed answer to `take`; after a break call `pause` and begin a new `call`.

        Patience begins anew whenever `count` has grown.
        """
        attempt, before = 1, count()
        while True:
            try:
                self._stream(call(), take)
                return
            except MQTTAPIError as error:
                attempt = 1 if count() > before else attempt
                wait_s = self._retry.wait(error, attempt, harmless=True)
                if wait_s is None:
                    raise
            finally:
                pause()
            time.sleep(wait_s)
            attempt, before = attempt + 1, count()

    def download(self, call: Call[None], path: Path) -> Path:
        """Write what comes into a file, which appears when it is whole; return its path."""
        part = path.with_name(f"{path.name}.part")

        def take(response: httpx2.Response) -> None:
            with part.open("wb") as file:
                for data in response.iter_bytes():
                    file.write(data)

        self.transfer(lambda: call, take)
        return part.replace(path)

    def _stream(self, call: Call[None], take: Callable[[httpx2.Response], None]) -> None:
        headers = {**self._headers, **call.headers}
        url, patience = self._base_url + call.target, time_out(self._timeout_s, call)
        try:
            with self._session.stream("GET", url, headers=headers, timeout=patience) as response:
                if response.status_code != 200:
                    response.read()
                    raise error_of(answer_of(response))
                take(response)
        except FAILURES as error:
            raise failure_of(error, self._base_url) from error
