"""Writes what is made from the one table of variables: systemd/mqtt-api.env and
docs/configuration.md. `make settings` runs it; a test fails while a file is not in step.

Answers for: their form, and the values that differ in production. Does not: name any variable
that gateway/variables.py does not have.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from gateway.variable_types import listed
from gateway.variables import FROM_FILE, VARIABLES, Variable

ROOT = Path(__file__).resolve().parent.parent
LINE_CHARACTERS = 98
# No text that any type takes, but those that take every text.
NO_VALUE = "\0"

# What a plant wants where the defaults are for a first look, with the reason.
PRODUCTION = {
    "MQTT_CLEAN_SESSION": ("false", "The broker keeps what arrives while the service is stopped."),
    "MAX_HISTORY_SIZE": ("1000000", "About 50 to 150 MB with small payloads."),
    "MESSAGE_RETENTION_HOURS": ("720", "Thirty days."),
    "CORS_ORIGINS": ("", "No web page but our own."),
    "API_KEY_REQUIRED": ("true", "install.sh has made a key in /etc/mqtt-api/api-key."),
    "API_KEYS_FILE": (
        "/var/lib/mqtt-api/keys.json",
        "Written by `mqtt-api-server keys`, which is why it lies with the history.",
    ),
}
SECRETS = {
    "MQTT_PASSWORD": "Not here: it is in /etc/mqtt-api/mqtt-password.",
    "API_KEY": "Not here: it is in /etc/mqtt-api/api-key.",
}
# (heading, what it is about, names of its variables as a regular expression); the first one fits.
SECTIONS = (
    ("The broker", "Which broker, and how.", r"MQTT_"),
    (
        "Who may call",
        "Explained in [security](security.md).",
        r"API_KEY|API_TLS|CORS|ALLOWED|TRUSTED|RATE_LIMIT",
    ),
    ("Where it listens", "And under which path a proxy shows it.", r"API_"),
    (
        "What is kept",
        "Explained in [operations](operations.md#what-is-kept-and-how-long).",
        r"HISTORY_|MAX_HISTORY|MESSAGE_",
    ),
    ("The log", "Explained in [operations](operations.md#logs).", r"LOG_"),
    ("Limits", "Sizes, times and numbers.", r""),
)


def environment_file() -> str:
    """Return systemd/mqtt-api.env."""
    lines = _comment(
        "Settings of the service under systemd: /etc/mqtt-api/mqtt-api.env. After a change:"
        " systemctl restart mqtt-api (and before it, mqtt-api-server --check-config)."
        " Every variable is here; a line that begins with #NAME= shows the default."
    )
    for heading, _, variables in _sections():
        lines += ["", f"# -- {heading} ".ljust(LINE_CHARACTERS, "-")]
        for variable in variables:
            lines += ["", *_comment(variable.sentence)]
            if variable.name in SECRETS:
                lines += [*_comment(SECRETS[variable.name]), f"#{variable.name}="]
            elif variable.name in PRODUCTION:
                value, reason = PRODUCTION[variable.name]
                lines += [*_comment(reason), f"{variable.name}={value}"]
            else:
                lines.append(f"#{variable.name}={variable.default}")
    return "\n".join(lines) + "\n"


def configuration_page() -> str:
    """Return docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "<!-- Written by `make settings` from gateway/variables.py. -->",
        "",
        "Environment variables, checked at the start: a wrong value ends it with status 78 and a",
        "sentence that names the variable, the value and what is allowed. Where they come from:",
        "",
        "| installed | variables are in | secrets are in |",
        "|---|---|---|",
        "| with systemd | `/etc/mqtt-api/mqtt-api.env` | `mqtt-password` and `api-key` beside it |",
        "| with containers | `docker-compose.yml` | `secrets/` |",
        "| by hand | the environment, or a file: `server.py --env-file settings.env` | the same |",
        "",
        "A file has lines `NAME=value`, as systemd reads them; variables of the environment win.",
        "For " + " and ".join(f"`{name}`" for name in FROM_FILE) + " a file may be named instead:",
        ", ".join(f"`{name}_FILE`" for name in FROM_FILE) + ". Check before you restart:",
        "`.venv/bin/python server.py --check-config`, or `sudo mqtt-api-server --check-config`.",
        "",
        "`production` is what systemd and the containers get where it differs from the default.",
    ]
    for heading, about, variables in _sections():
        lines += ["", f"## {heading}", "", about, ""]
        lines += ["| variable | default | production | allowed | meaning |"]
        lines += ["|---|---|---|---|---|"]
        lines += [_row(variable) for variable in variables]
    return "\n".join(lines) + "\n"


def _row(variable: Variable) -> str:
    cells = [
        f"`{variable.name}`",
        _code(variable.default),
        "",
        allowed(variable),
        variable.sentence,
    ]
    if variable.name in PRODUCTION:
        cells[2] = _code(PRODUCTION[variable.name][0]) or "empty"
    if variable.name in SECRETS:
        cells[2] = "a secret"
    cells[4] = re.sub(r"<[\w ]+>", r"`\g<0>`", cells[4]).replace(" * ", " `*` ")
    return "| " + " | ".join(cells) + " |"


def allowed(variable: Variable) -> str:
    """Return what the variable may be, in the words in which a wrong value is refused."""
    if variable.parse is listed:
        return "a list, comma-separated"
    for text in (NO_VALUE, ""):
        try:
            variable.parse(text)
        except ValueError as error:
            return re.sub(r" \(.*\)$", "", str(error).replace("\0", ""))
    return "any text"


def _sections() -> Iterator[tuple[str, str, list[Variable]]]:
    left = list(VARIABLES)
    for heading, about, names in SECTIONS:
        chosen = [variable for variable in left if re.match(names, variable.name)]
        left = [variable for variable in left if variable not in chosen]
        yield heading, about, chosen


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _comment(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, LINE_CHARACTERS, initial_indent="# ", subsequent_indent="# ")


if __name__ == "__main__":
    (ROOT / "systemd/mqtt-api.env").write_text(environment_file(), encoding="utf-8")
    (ROOT / "docs/configuration.md").write_text(configuration_page(), encoding="utf-8")
