"""The group of commands.

Answers for: which commands there are. Does not: carry them out.
"""

from __future__ import annotations

import sys

import click

from client.cli import bulk, completion, reading, sending
from client.cli.completion import COMPLETE_VARIABLE, PROGRAM
from client.cli.session import EXIT_INTERRUPTED, with_common_options
from client.version import VERSION


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExample:\n  mqtt-api tail 'factory/#' --since 10m\n  mqtt-api COMMAND --help",
)
@click.version_option(VERSION, prog_name=PROGRAM)
@with_common_options
def app(**_common: object) -> None:
    """Talk to a GhostMesh MQTT API: publish, read the history, follow what comes in.

    The options may stand before the command and behind it; the later one holds. Set MQTT_API_URL
    and MQTT_API_KEY instead of giving --url and --key each time.
    """


for one in (*sending.COMMANDS, *reading.COMMANDS, *bulk.COMMANDS, completion.completion):
    app.add_command(one)


def run(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    try:
        status = app.main(
            arguments, prog_name=PROGRAM, standalone_mode=False, complete_var=COMPLETE_VARIABLE
        )
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stdout)
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return EXIT_INTERRUPTED
    return status if isinstance(status, int) else 0
