"""What an examination found: one thing each, whether it is well, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at and `state` says how it is; `advice` is empty when all is well.

    `is_fatal` when the main job cannot be done so; else it is worth knowing.
    """

    what: str
    state: str
    advice: str = ""
    is_fatal: bool = False
