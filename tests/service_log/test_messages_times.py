"""GET /messages by time: durations, every form of a time, a bare date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from store.message import Message
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.recordings import open_history
from tests.service_log.asking import quoted
from tests.service_process import ServiceProcess

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

# Ages of the messages that the service of `aged` starts with, oldest first.
AGES_S = (20 * DAY_S, 3 * DAY_S, 5 * HOUR_S, 40 * MINUTE_S, 5 * MINUTE_S)


@pytest.fixture(scope="module")
def aged(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServiceProcess, list[int]]]:
    """A service whose history begins with messages of AGES_S, and when they arrived (in us)."""
    directory: Path = tmp_path_factory.mktemp("aged")
    now_us = time.time_ns() // 1_000
    moments = [now_us - age * 1_000_000 for age in AGES_S]

    async def record() -> None:
        async with open_history(directory / "history.db", now_us=now_us) as log:
            await log.append([Message("aged", str(moment), moment) for moment in moments])

    asyncio.run(record())
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="aged",
        MESSAGE_RETENTION_HOURS="0",
        **shared_broker.settings,
    )
    process.start(ready=True)
    yield process, moments
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def moments_of(service: ServiceProcess, query: str) -> list[int]:
    """Return when the messages of an answer arrived, oldest first."""
    answer = service.get(f"/messages?topic=aged&order=asc&{query}")
    assert answer.status == 200, answer.content
    return [int(message["payload"]) for message in answer.json()]


@pytest.mark.parametrize(
    ("duration", "count"),
    [("30d", 5), ("2w", 4), ("7d", 4), ("1w", 4), ("24h", 3), ("90m", 2), ("15m", 1), ("30s", 0)],
)
def test_durations_go_back_from_now(
    aged: tuple[ServiceProcess, list[int]], duration: str, count: int
) -> None:
    """A duration as `since` or `until` is a time that far back from now."""
    service, moments = aged
    assert moments_of(service, f"since={duration}") == moments[len(moments) - count :]
    assert moments_of(service, f"until={duration}") == moments[: len(moments) - count]


@pytest.mark.parametrize(
    "form",
    [
        lambda moment: moment.isoformat().replace("+00:00", "Z"),
        lambda moment: moment.replace(tzinfo=None).isoformat(),
        lambda moment: moment.replace(tzinfo=None).isoformat(" ").replace(" ", "%20"),
        lambda moment: moment.astimezone(timezone(timedelta(hours=2))).isoformat(),
        lambda moment: quoted(moment.astimezone(timezone(timedelta(hours=2))).isoformat()),
        lambda moment: moment.astimezone(timezone(timedelta(hours=-5, minutes=-30))).isoformat(),
        lambda moment: f"{moment.timestamp():.6f}",
    ],
    ids=["zulu", "no-zone", "blank", "plus", "escaped-plus", "minus", "epoch"],
)
def test_a_time_in_each_form_is_the_same_time(
    aged: tuple[ServiceProcess, list[int]], form: Any
) -> None:
    """`since` is inclusive and `until` exclusive to the microsecond, in each form of a time."""
    service, moments = aged
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moments[2])
    later = moment + timedelta(microseconds=1)
    assert moments_of(service, f"since={form(moment)}") == moments[2:]
    assert moments_of(service, f"since={form(later)}") == moments[3:]
    assert moments_of(service, f"until={form(moment)}") == moments[:2]
    assert moments_of(service, f"until={form(later)}") == moments[:3]
    assert moments_of(service, f"since={form(moment)}&until={form(later)}") == moments[2:3]


def test_a_bare_date_is_its_first_instant(aged: tuple[ServiceProcess, list[int]]) -> None:
    """A date without a time is 00:00 UTC of that day, and whole epoch seconds do as well."""
    service, moments = aged
    day = datetime.fromtimestamp(moments[1] // 1_000_000, UTC).date()
    start_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    earlier = [moment for moment in moments if moment < start_us]
    later = [moment for moment in moments if moment >= start_us]
    assert earlier and later
    assert moments_of(service, f"since={day}") == later
    assert moments_of(service, f"until={day}") == earlier
    assert moments_of(service, f"since={start_us // 1_000_000}") == later
    assert moments_of(service, "since=0") == moments
    assert moments_of(service, "until=0") == []
