"""What every command shares: where the service is, the key, the form of the output, and errors.

Answers for: the common options, one sentence for each failure, and the exit status. Does not:
know what a command does.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from client.cli.output import Output
from client.errors import MQTTAPIError
from client.retry import RetryPolicy
from client.sync_client import MQTTAPIClient

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # as a shell reports a program that SIGINT ended
EXIT_PIPE_CLOSED = 141  # as a shell reports a program that SIGPIPE ended
COMPLETION_S = 1.0  # a person has pressed Tab, and waits
DEFAULT_URL = "http://localhost:8000"


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command."""

    url: str
    key: str | None
    ca_file: str | None
    timeout_s: float
    out: Output

    def client(self) -> MQTTAPIClient:
        """Return a client; a person waits, so it tries again only for a short while."""
        retry = RetryPolicy(attempts=3)
        return MQTTAPIClient(
            self.url, self.timeout_s, api_key=self.key, retry=retry, verify=self.ca_file or None
        )


COMMON = (
    click.option(
        "--url",
        envvar="MQTT_API_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="Where the service is.",
    ),
    click.option(
        "--key",
        envvar="MQTT_API_KEY",
        show_envvar=True,
        help="The key, where the service asks for one.",
    ),
    click.option(
        "--ca-file",
        envvar="MQTT_API_CA_FILE",
        show_envvar=True,
        metavar="FILE",
        help="The certificate authorities to trust instead of the system's.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long the service may be silent.",
    ),
    click.option(
        "--json", "as_json", is_flag=True, help="JSON, one object a line; in a pipe always."
    ),
)
COMMON_NAMES = ("url", "key", "ca_file", "timeout", "as_json")
Function = TypeVar("Function", bound=Callable[..., Any])


def with_common_options(function: Function) -> Function:
    """Give a command, or the group of all, the options that may stand before and behind it."""
    for option in reversed(COMMON):
        function = option(function)
    return function


def common_values(context: click.Context) -> dict[str, Any]:
    """Return the common options: as said behind the command, else before it, else as usual."""
    values = {}
    for name in COMMON_NAMES:
        said = [
            one
            for one in (context, context.parent)
            if one and one.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ]
        values[name] = (said or [context])[0].params.get(name)
    return values


def command(example: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a function a command with the common options; it gets a Session first.

    What it returns is the exit status. `example` is shown by `--help`.
    """

    def decorate(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def carried(**given: Any) -> None:
            session = session_of(**common_values(click.get_current_context()))
            arguments = {name: given[name] for name in given.keys() - set(COMMON_NAMES)}
            status = guarded(lambda: function(session, **arguments))
            raise click.exceptions.Exit(status)

        decorated = with_common_options(carried)
        name = function.__name__.rstrip("_").replace("_", "-")
        made = click.command(name, epilog=f"\b\nExample:\n{example}")(decorated)
        made.params.sort(key=lambda one: one.name in COMMON_NAMES)  # the help: its own come first
        return made

    return decorate


def session_of(
    url: str, key: str | None, ca_file: str | None, timeout: float, as_json: bool
) -> Session:
    """Return the run that the common options ask for; in a pipe it speaks JSON."""
    return Session(url, key, ca_file, timeout, Output(as_json or not sys.stdout.isatty()))


def guarded(act: Callable[[], int | None]) -> int:
    """Run a command to its exit status: every failure is one sentence, a closed pipe silence."""
    try:
        status = act() or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        hush()
        return EXIT_PIPE_CLOSED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except MQTTAPIError as error:
        complain(error.detail)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        complain(str(error))
    return EXIT_FAILED


def complain(sentence: str) -> None:
    """Say what is wrong on standard error."""
    print(f"mqtt-api: {' '.join(sentence.split())}", file=sys.stderr)


def hush() -> None:
    """Let what is still buffered for a closed pipe go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def complete_topic(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Offer the topics of the service, level by level; nothing when it cannot be asked."""
    said = common_values(context)
    ask = {"api_key": said["key"], "verify": said["ca_file"], "retry": RetryPolicy(attempts=1)}
    try:
        with MQTTAPIClient(said["url"], COMPLETION_S, **ask) as client:
            names = client.get_topics(prefix=incomplete or None, limit=1_000)
    except MQTTAPIError:
        return []
    return sorted({_next_level(name, len(incomplete)) for name in names})


def _next_level(name: str, known: int) -> str:
    end = name.find("/", known)
    return name if end < 0 else name[: end + 1]
