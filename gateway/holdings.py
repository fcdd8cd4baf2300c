"""Which filters the gateway holds at the broker.

Answers for: subscribing the smallest set that covers all that is wanted, renewing it after
each reconnect, and remembering it across restarts. Does not: send packets itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from gateway.arrivals import Arrivals, subscription_number
from gateway.broker.broker import Broker
from gateway.broker.errors import BrokerAway, BrokerError, BrokerRefused
from store.errors import HistoryUnavailable
from store.subscriptions import Subscription, Subscriptions
from store.topics import TopicFilter, covers, smallest_cover

log = logging.getLogger(__name__)

# At the broker at most QoS 1: a QoS 2 delivery acknowledged late can wedge a session for good.
MAX_QOS = 1
# A filter that has cost the connection so often is given up until the next start.
MAX_STRIKES = 3
# Pause before a renewal that got no answer is tried again on the same connection.
RENEW_RETRY_S = 5.0
BROKER_STATISTICS = "$SYS/#"


class Holdings:
    """The subscriptions of the gateway. Lives on the event loop."""

    def __init__(
        self,
        broker: Broker,
        stored: Subscriptions,
        arrivals: Arrivals,
        *,
        now_us: Callable[[], int],
        follow_statistics: bool,
    ) -> None:
        self._broker = broker
        self._stored = stored
        self._arrivals = arrivals
        self._now_us = now_us
        self._own = {BROKER_STATISTICS: 0} if follow_statistics else {}
        self._wanted: dict[str, Subscription] = {}
        self._held: dict[str, int] = {}
        self._one_change = asyncio.Lock()
        self._strikes: Counter[str] = Counter()
        self._uses: Counter[str] = Counter()
        self._renewal: asyncio.Task[None] | None = None
        self.refused: dict[str, str] = {}
        """Filters that the broker would not take, and why."""

    async def load(self, configured: Sequence[tuple[str, int]]) -> None:
        """Begin with what is stored; configured filters are added when the setting changed."""
        value = ",".join(f"{text}:{qos}" for text, qos in configured)
        if await self._stored.setting_changed("MQTT_SUBSCRIPTIONS", value):
            for text, qos in configured:
                await self._stored.add(Subscription(text, min(qos, MAX_QOS), self._now_us()))
        self._set_wanted({entry.topic: entry for entry in await self._stored.all()})

    def all(self) -> list[Subscription]:
        """Return what the gateway holds, by filter."""
        return sorted(self._wanted.values(), key=lambda entry: entry.topic)

    def uncovered(self, topics: TopicFilter) -> list[str]:
        """Return those of the filters that no subscription feeds entirely."""
        held = [text for text in self._wanted if text not in self.refused]
        return [text for text in topics.texts if not any(covers(wide, text) for wide in held)]

    async def subscribe(self, text: str, qos: int) -> int:
        """Hold a filter; return the QoS granted, once the broker has confirmed and it is stored.

        Raises a BrokerError or HistoryUnavailable, and then nothing has changed.
        """
        async with self._one_change:
            if not self._broker.connection:
                raise BrokerAway(f"not connected to the broker: {self._broker.why}")
            before = self._wanted.get(text)
            entry = Subscription(
                text, min(qos, MAX_QOS), before.since_us if before else self._now_us()
            )
            wanted = {**self._wanted, text: entry}
            granted = await self._adjust_or_not(wanted)
            entry = Subscription(text, min(entry.qos, granted.get(text, entry.qos)), entry.since_us)
            try:
                await self._stored.add(entry)
            except HistoryUnavailable:
                await self._adjust_back()
                raise
            self._set_wanted({**wanted, text: entry})
            self.refused.pop(text, None)
            return entry.qos

    async def unsubscribe(self, text: str) -> list[str] | None:
        """Let a filter go; return the held filters that still cover it, or None if unknown.

        Raises a BrokerError or HistoryUnavailable, and then nothing has changed.
        """
        async with self._one_change:
            if text not in self._wanted:
                return None
            wanted = {held: entry for held, entry in self._wanted.items() if held != text}
            if text not in self.refused and not self._broker.connection:
                raise BrokerAway(f"not connected to the broker: {self._broker.why}")
            # Forgotten first: what cannot be forgotten must not miss a message meanwhile.
            await self._stored.remove(text)
            if text in self.refused:
                del self.refused[text]
            else:
                try:
                    await self._adjust_or_not(wanted)
                except BrokerError:
                    await self._stored.add(self._wanted[text])
                    raise
            self._set_wanted(wanted)
            return sorted(held for held in wanted if covers(held, text))

    async def hold(self, text: str) -> None:
        """Listen to a filter for our own use, beside what users hold; not remembered.

        Every `hold` wants its `release`. Raises a BrokerError.
        """
        async with self._one_change:
            self._uses[text] += 1
            self._own.setdefault(text, MAX_QOS)
            try:
                await self._adjust(self._wanted)
            except BrokerError:
                self._forget_use(text)
                await self._adjust_back()
                raise

    async def release(self, text: str) -> None:
        """Listen no more for our own use. Never fails: the broker forgets with the session."""
        async with self._one_change:
            if text in self._uses and not self._forget_use(text) and self._broker.connection:
                try:
                    await self._adjust(self._wanted)
                except BrokerError as error:
                    log.info("the filter %s could not be let go: %s", text, error)

    def _forget_use(self, text: str) -> int:
        self._uses[text] -= 1
        left = self._uses[text]
        if not left:
            del self._uses[text]
            self._own.pop(text, None)
        return left

    def connection_changed(self, connection: int) -> None:
        """The broker came or went: renew all subscriptions on a new connection."""
        self._held.clear()
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None
        if connection:
            self._renewal = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        while True:
            try:
                self._set_held(self._cover(self._wanted))  # what a resumed session holds already
                if await self._renew_all():
                    return
            except Exception:  # without its subscriptions the gateway is deaf
                self._arrivals.failed("renewal", "the subscriptions could not be renewed")
            await asyncio.sleep(RENEW_RETRY_S)

    async def _renew_all(self) -> bool:
        """Subscribe what is not subscribed on this connection; return whether that is over."""
        async with self._one_change:
            for text, qos in self._cover(self._wanted).items():
                if self._held.get(text) == qos:
                    continue
                try:
                    self._held[text] = await self._broker.subscribe(text, qos)
                    self._strikes.pop(text, None)
                except BrokerRefused as error:
                    if not self._broker.connection:  # lost over this filter, or by chance
                        self._strike(text, error)
                        return True
                    self._give_up(text, error)
                except BrokerError as error:
                    log.warning("the subscription to %s could not be renewed: %s", text, error)
                    return not self._broker.connection
            return True

    def _strike(self, text: str, error: BrokerError) -> None:
        self._strikes[text] += 1
        if self._strikes[text] >= MAX_STRIKES:
            self._give_up(text, error)

    def _give_up(self, text: str, error: BrokerError) -> None:
        if text in self._own:
            log.info("the broker does not let us follow %s: %s", text, error)
            self._own.pop(text)
        else:
            log.error("the subscription to %s is given up: %s", text, error)
            self.refused[text] = str(error)

    def _cover(self, wanted: dict[str, Subscription]) -> dict[str, int]:
        taken = {text: entry.qos for text, entry in wanted.items() if text not in self.refused}
        return smallest_cover({**self._own, **taken})

    async def _adjust(self, wanted: dict[str, Subscription]) -> dict[str, int]:
        """Make the broker hold the cover of `wanted`; return the QoS granted to each new filter."""
        cover = self._cover(wanted)
        granted: dict[str, int] = {}
        self._set_held([*self._held, *cover])
        for text, qos in cover.items():
            if self._held.get(text) != qos:
                granted[text] = self._held[text] = await self._broker.subscribe(text, qos)
        self._set_held(cover)
        for text in [held for held in self._held if held not in cover]:
            await self._broker.unsubscribe(text)
            del self._held[text]
        return granted

    async def _adjust_or_not(self, wanted: dict[str, Subscription]) -> dict[str, int]:
        """Adjust; where the broker refuses one filter of several, let go of the others again."""
        try:
            return await self._adjust(wanted)
        except BrokerError:
            await self._adjust_back()
            raise

    async def _adjust_back(self) -> None:
        if not self._broker.connection:
            return  # the renewal begins with what is wanted
        try:
            await self._adjust(self._wanted)
        except BrokerError as error:
            log.info("a subscription could not be taken back: %s", error)

    def _set_held(self, texts: Iterable[str]) -> None:
        self._arrivals.held = frozenset(subscription_number(text) for text in texts)

    def _set_wanted(self, wanted: dict[str, Subscription]) -> None:
        self._wanted = wanted
        self._arrivals.wanted = TopicFilter(wanted)
