"""Copies of a database: making one beside a running service, and putting one back.

Answers for: consistent copies with an epoch of their own, and a restore that loses nothing. Does
not: stream them (GET /backup), or print.
"""

from __future__ import annotations

import errno
import glob
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from store.errors import DatabaseDamaged, DatabaseRefused
from store.failures import WORDS, cause_of
from store.lock_file import LockFile
from store.log_writer import renew_epoch
from store.maintenance import check, reading
from store.message import iso_time

# How often the growing copy is looked at.
LOOK_S = 0.2
PARTS = ("", "-wal", "-shm")


def passing_copy_prefix(path: Path) -> str:
    """Return how the name of a copy begins that is made beside the database only to be sent."""
    return f".{path.name}.copy-"


def remove_passing_copies(path: Path) -> None:
    """Remove what a killed process left of such copies. Whoever calls holds the database's lock."""
    for left in path.parent.glob(f"{glob.escape(passing_copy_prefix(path))}*"):
        left.unlink(missing_ok=True)


def backup(path: Path, target: Path, progress: Callable[[float], None]) -> int:
    """Copy the database to a new file, consistently, also while a service writes; return its size.

    The copy is checked, and has an epoch of its own: restored, it would give out ids that were
    given out since. DatabaseRefused or OSError; then there is no copy.
    """
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    partial = target.with_name(f".{target.name}.partial")
    with reading(path) as source:
        try:
            partial.open("wb").close()  # says plainly when it may not be made
        except OSError as error:
            error.filename = str(target)
            raise
        try:
            _copy_whole(source, path, partial, progress)
            faults = check(partial, lambda: None)
            if faults:
                raise DatabaseRefused(f"the copy is damaged, as the database may be: {faults[0]}")
            partial.rename(target)
            return target.stat().st_size
        except sqlite3.Error as error:
            if cause_of(error) == "damaged":
                raise DatabaseDamaged(
                    f"{path} is damaged, so there is no copy ({error})"
                ) from error
            raise _not_written(target, error) from error
        finally:
            partial.unlink(missing_ok=True)


def _copy_whole(
    source: sqlite3.Connection, path: Path, partial: Path, progress: Callable[[float], None]
) -> None:
    with closing(sqlite3.connect(partial)) as copy:
        done = threading.Event()
        size = max(1, path.stat().st_size)
        watch = threading.Thread(target=_watch, args=(partial, size, progress, done))
        watch.start()
        try:
            source.backup(copy)  # in one step: in several it would begin anew at each commit
        finally:
            done.set()
            watch.join()
        renew_epoch(copy)
        copy.commit()
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, to be carried anywhere


def _not_written(target: Path, error: sqlite3.Error) -> DatabaseRefused:
    return DatabaseRefused(f"{target} could not be written: {WORDS[cause_of(error)]} ({error})")


def restore(path: Path, copy: Path, now_us: int, progress: Callable[[float], None]) -> Path | None:
    """Put a copy in the place of the database; return where the present one was moved.

    DatabaseHeld while a service has it open; DatabaseRefused when the copy is no sound database
    of ours, and then nothing was touched.
    """
    faults = check(copy, lambda: None)
    if faults:
        raise DatabaseDamaged(f"{copy} was not restored: {faults[0]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = LockFile.take(path)
    fresh = path.with_name(f".{path.name}.restoring")
    try:
        _copy_file(copy, fresh, progress)
        aside = _move_aside(path, now_us) if path.exists() else None
        fresh.rename(path)
        return aside
    except sqlite3.Error as error:
        raise _not_written(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)
        lock.note("")  # it was about the database that is aside now
        lock.release()


def _copy_file(copy: Path, fresh: Path, progress: Callable[[float], None]) -> None:
    fresh.unlink(missing_ok=True)
    fresh.open("wb").close()
    with reading(copy) as source, closing(sqlite3.connect(fresh)) as target:
        try:
            source.backup(
                target,
                pages=1_000,
                progress=lambda _status, left, total: progress(1 - left / max(1, total)),
            )
            renew_epoch(target)  # made with sqlite3's .backup, it still has that of the original
            target.commit()
        except sqlite3.Error as error:  # the copy was found to be sound
            raise _not_written(fresh, error) from error
    with fresh.open("rb") as file:
        os.fsync(file.fileno())


def _move_aside(path: Path, now_us: int) -> Path:
    moment = iso_time(now_us)[:19].replace(":", "").replace("-", "")
    aside = Path(f"{path}.before-restore-{moment}Z")
    for part in PARTS:
        if Path(f"{path}{part}").exists():
            Path(f"{path}{part}").rename(f"{aside}{part}")
    return aside


def _watch(file: Path, size: int, progress: Callable[[float], None], done: threading.Event) -> None:
    while not done.wait(LOOK_S):
        if file.exists():
            progress(min(1.0, file.stat().st_size / size))
