"""What must be subscribed again after a restart."""

from __future__ import annotations

from pathlib import Path

from store.database import Database
from store.subscriptions import Subscription, Subscriptions


async def test_subscriptions_outlive_the_process(tmp_path: Path) -> None:
    """What was added is there after a reopening, by filter; what was removed is not."""
    database = await Database.open(tmp_path / "history.db")
    stored = Subscriptions(database)
    for topic in ("b/#", "a", "c"):
        await stored.add(Subscription(topic, 1, 100))
    assert await stored.remove("c") is True
    assert await stored.remove("c") is False
    await database.close()
    database = await Database.open(tmp_path / "history.db")
    expected = [Subscription("a", 1, 100), Subscription("b/#", 1, 100)]
    assert await Subscriptions(database).all() == expected
    await database.close()


async def test_adding_again_changes_the_qos_and_keeps_the_beginning(tmp_path: Path) -> None:
    """`since_us` is when a filter was first taken; a removed one begins anew."""
    database = await Database.open(tmp_path / "history.db")
    stored = Subscriptions(database)
    await stored.add(Subscription("a", 0, 100))
    await stored.add(Subscription("a", 1, 200))
    assert await stored.all() == [Subscription("a", 1, 100)]
    await stored.remove("a")
    await stored.add(Subscription("a", 1, 300))
    assert await stored.all() == [Subscription("a", 1, 300)]
    await database.close()


async def test_a_changed_setting_is_noticed_once(tmp_path: Path) -> None:
    """A setting is new the first time, the same afterwards, and changed after a change."""
    database = await Database.open(tmp_path / "history.db")
    stored = Subscriptions(database)
    asked = [("X", "#"), ("X", "#"), ("X", "a"), ("X", "a"), ("Y", "a"), ("X", "#")]
    answers = [await stored.setting_changed(name, value) for name, value in asked]
    assert answers == [True, False, True, False, True, True]
    await database.close()
