"""What was shown and never stored is told to those who page on from a position."""

from __future__ import annotations

import re

from tests.service_log.asking import payloads
from tests.service_process import ServiceProcess


def test_pages_begin_with_the_gap(service: ServiceProcess) -> None:
    """Following Link, the page behind such a place says it, and every message comes once."""
    service.start(ready=True)
    before = [message["id"] for message in payloads(service, "a", 1, 2, 3)]
    service.kill()
    # What the service leaves there while it shows what it cannot store.
    lock = service.database.with_name("history.db.lock")
    lock.write_text(f"unstored after {before[-1]}\n", encoding="ascii")
    service.start(ready=True)
    behind = [message["id"] for message in payloads(service, "a", 4, 5)]
    path, found, gaps = f"/messages?topic=a&after={before[0]}", [], []
    while True:
        answer = service.get(path)
        gaps.append(answer.headers.get("X-Log-Gap"))
        found.append([message["id"] for message in answer.json()])
        if found[-1] and found[-1][-1] == behind[-1]:
            break
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers["Link"])
        assert link is not None
        path = f"/{link[1]}"
    assert found == [before[1:], behind]
    assert gaps[0] is None
    assert re.fullmatch(rf"reason=unstored;after={before[-1]};next=\d+", gaps[1] or "")
