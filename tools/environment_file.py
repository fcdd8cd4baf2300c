"""Reads a file of environment variables as systemd's EnvironmentFile does, for `--env-file`.

Answers for: the form of the file. Does not: know any variable.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import ConfigError

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_QUOTED = re.compile(r"""(["'])(.*)\1""")


def read_environment_file(path: Path) -> dict[str, str]:
    """Return the variables of the file; ConfigError names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ConfigError(f"the file of variables {path} cannot be read ({why})") from None
    found = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        assignment = _ASSIGNMENT.fullmatch(text)
        if assignment is None:
            raise ConfigError(f"line {number} of {path} is not NAME=value, a comment or empty")
        value = assignment.group(2).strip()
        quoted = _QUOTED.fullmatch(value)
        found[assignment.group(1)] = quoted.group(2) if quoted else value
    return found
