"""Whether and when to try again.

Answers for: the decision. Does not: wait or send. Repeated is only what is harmless: a read, a
request whose connection was never made, and one that a rate limit turned away at the door.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from client.errors import ConnectionFailed, MQTTAPIError, RateLimited, ServiceFailed


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long to wait in between: exponentially longer, with jitter.

    `attempts` counts the first one, so 1 never repeats. Seconds throughout. A service that asks
    (Retry-After) for more than `longest_wait` is not waited for.
    """

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 10.0

    def wait(self, error: MQTTAPIError, attempt: int, *, harmless: bool) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt`, or None: give up."""
        if attempt >= self.attempts or not (harmless or never_begun(error)):
            return None
        return self.pause(error, attempt) if may_pass(error) else None

    def pause(self, error: MQTTAPIError, attempt: int) -> float | None:
        """Return how long to pause before the next attempt, without asking whether to make it."""
        pause = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 30))
        pause *= random.uniform(0.5, 1.0)  # jitter: many clients must not come back at once
        asked = error.retry_after
        if asked is None:
            return pause
        return None if asked > self.longest_wait else asked + pause / 2


def never_begun(error: MQTTAPIError) -> bool:
    """Return whether the service cannot have begun what was asked."""
    if isinstance(error, ConnectionFailed):
        return error.never_made
    return isinstance(error, RateLimited)


def may_pass(error: MQTTAPIError) -> bool:
    """Return whether the same question may get a better answer later."""
    if isinstance(error, ServiceFailed):
        return error.status != 501
    return isinstance(error, ConnectionFailed | RateLimited)
