"""How log lines look: readable text, or one JSON object a line.

Answers for: handlers and formats of Python's logging. Does not: decide what is logged.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def set_up_logging(level: str, line_format: str, path: str) -> None:
    """Log to standard error, and to a file as well when a path is given."""
    formatter = (
        JsonFormatter()
        if line_format == "json"
        else logging.Formatter(line_format or DEFAULT_FORMAT)
    )
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(level)
    # Libraries tell of each packet and each statement at DEBUG: only their warnings help.
    # Tornado quotes the header that it could not read, and that may be a key.
    for name in ("paho", "aiosqlite", "asyncio", "tornado.general"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("paho").setLevel(logging.CRITICAL)  # broker.py says it in our words
