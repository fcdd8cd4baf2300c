"""The command `completion`: what makes a shell complete commands, options and topics.

Answers for: click's scripts, and that no space follows a level of a topic. Does not: find topics;
session.py does.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "mqtt-api"
COMPLETE_VARIABLE = "_MQTT_API_COMPLETE"
# Behind `factory/` more levels follow, so it is not to be closed with a space. fish knows.
WITHOUT_SPACE = {
    "bash": (
        "    return 0\n",
        "    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then\n"
        "        compopt -o nospace\n"
        "    fi\n"
        "    return 0\n",
    ),
    "zsh": (
        "compadd -U -V unsorted -a completions\n",
        "compadd -U -S '' -V unsorted -- ${(M)completions:#*/}\n"
        "        compadd -U -V unsorted -- ${completions:#*/}\n",
    ),
    "fish": ("\n", "\n"),
}


@click.command(epilog='\b\nExample:\n  eval "$(mqtt-api completion bash)"')
@click.argument("shell", type=click.Choice(list(WITHOUT_SPACE)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and topics.

    To have it always: in ~/.bashrc or ~/.zshrc (behind compinit) the line of the example with the
    name of your shell; in ~/.config/fish/config.fish "mqtt-api completion fish | source".
    """
    kind = get_completion_class(shell)
    assert kind is not None
    source = kind(context.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source()
    click.echo(source.replace(*WITHOUT_SPACE[shell]))
