"""How log lines look: readable text, key=value, or one JSON object a line; with priorities for
the journal.

Answers for: handlers and formats of Python's logging. Does not: decide what is logged.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.config import ConfigError
from gateway.log_repeats import Repeats

DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# The journal keeps the time and the priority of each line itself.
JOURNAL_FORMAT = "%(name)s: %(message)s"
# sd-daemon(3): what the journal understands as <N> at the beginning of a line.
PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
STANDARD_ERROR = 2
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BARE = re.compile(r"[^\s\"=]+")


class TextFormatter(logging.Formatter):
    """One line an event, whatever a caller put into it; only a traceback has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line, with control characters written out."""
        line = super().formatMessage(record)
        return _CONTROL.sub(lambda found: repr(found.group())[1:-1], line)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = _fields(self, record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


class KeyValueFormatter(logging.Formatter):
    """time=... level=... logger=... message="..."; a traceback is one more field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = _fields(self, record)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return " ".join(f"{name}={_value(text)}" for name, text in fields.items())


class JournalFormatter(logging.Formatter):
    """Puts the priority before each line of another formatter."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines, each with its <N>: the journal takes each as an entry of its own."""
        priority = PRIORITIES.get(record.levelname, 6)
        return "\n".join(f"<{priority}>{line}" for line in self._inner.format(record).split("\n"))


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    return {
        "time": formatter.formatTime(record),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def is_journal(environment: Mapping[str, str]) -> bool:
    """Return whether standard error is the journal's: systemd names it by device and inode."""
    here = os.fstat(STANDARD_ERROR)
    return environment.get("JOURNAL_STREAM") == f"{here.st_dev}:{here.st_ino}"


def set_up_logging(
    level: str,
    line_format: str,
    path: str,
    *,
    to_journal: bool,
    monotonic: Callable[[], float],
) -> None:
    """Log to standard error, and to a file as well when a path is given; ConfigError when that
    cannot be written."""
    inner = _formatter(line_format, JOURNAL_FORMAT if to_journal else DEFAULT_FORMAT)
    stream = logging.StreamHandler()
    stream.setFormatter(JournalFormatter(inner) if to_journal else inner)
    handlers: list[logging.Handler] = [stream]
    if path:
        handlers.append(_open_file(path))
        handlers[-1].setFormatter(_formatter(line_format, DEFAULT_FORMAT))
    root = logging.getLogger()
    repeats = Repeats(monotonic)
    for handler in handlers:
        handler.addFilter(repeats)
        root.addHandler(handler)
    root.setLevel(level)
    # Libraries tell of each packet and each statement at DEBUG: only their warnings help.
    # Tornado quotes the header that it could not read, and that may be a key.
    for name in ("paho", "aiosqlite", "asyncio", "tornado.general"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("paho").setLevel(logging.CRITICAL)  # broker.py says it in our words


def _open_file(path: str) -> logging.FileHandler:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"LOG_FILE is {path!r}, but must be a file that can be written ({error.strerror})"
        ) from None


def _formatter(line_format: str, default: str) -> logging.Formatter:
    if line_format == "json":
        return JsonFormatter()
    if line_format == "logfmt":
        return KeyValueFormatter()
    return TextFormatter(line_format or default)
