"""How results look: colours, trees and tables on a terminal, one JSON object a line elsewhere.

Answers for: the form, and that no payload can take over a terminal. Does not: ask the service.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from client.values import Gap, Message, Series, Topic

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text
    from rich.tree import Tree

SHOWN_BYTES = 32
SPARKS = "▁▂▃▄▅▆▇█"


class Output:
    """Where one command writes. `is_json` says for whom: a program or a person."""

    def __init__(self, is_json: bool) -> None:
        self.is_json = is_json

    # rich is loaded only for people: a script starts faster without it.
    @cached_property
    def console(self) -> Console:
        """The terminal."""
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    def record(self, fields: Any) -> None:
        """Write one line of JSON, at once: the next program in the pipe waits for it."""
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def say(self, sentence: str, style: str = "") -> None:
        """Write a sentence for a person; a program gets a record instead."""
        if not self.is_json:
            self.console.print(printable(sentence), style=style, markup=False)

    def note(self, sentence: str) -> None:
        """Write an aside to standard error."""
        print(printable(sentence), file=sys.stderr, flush=True)

    def message(self, message: Message) -> None:
        """Write one message."""
        if self.is_json:
            self.record(message.as_dict())
        else:
            self.console.print(message_line(message))

    def gap(self, gap: Gap) -> None:
        """Write that messages are gone."""
        if self.is_json:
            self.record(gap.as_dict())
        else:
            text = f"── messages after {gap.after} and before {gap.next} are gone ({gap.reason}) ──"
            self.console.print(text, style="yellow", markup=False)

    def fields(self, fields: Mapping[str, Any]) -> None:
        """Write an object: names and values below each other on a terminal."""
        if self.is_json:
            self.record(fields)
            return
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, value in flattened(fields):
            table.add_row(f"[dim]{name}[/dim]", plain(value))
        self.console.print(table)

    def rows(self, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Write a table for a person."""
        from rich import box
        from rich.table import Table

        table = Table(*names, box=box.SIMPLE_HEAD, header_style="bold")
        for row in rows:
            table.add_row(*[plain(cell) for cell in row])
        self.console.print(table)

    def topics(self, topics: Iterable[Topic]) -> None:
        """Write topics: as a tree of their levels on a terminal."""
        if self.is_json:
            for topic in topics:
                self.record(topic.as_dict())
        else:
            self.console.print(topic_tree(topics))

    def series(self, series: Series) -> None:
        """Write a series: a table and its shape on a terminal."""
        if self.is_json:
            for point in series.points:
                self.record(point.as_dict())
            return
        names = ("from", "count", "min", "avg", "max", "last")
        shown = (
            (
                f"{p.t.astimezone():%Y-%m-%d %H:%M:%S}",
                p.count,
                p.min,
                round(p.avg, 6),
                p.max,
                p.last,
            )
            for p in series.points
        )
        self.rows(names, shown)
        self.say(spark_line([point.avg for point in series.points]), "cyan")
        if series.skipped:
            self.say(f"{counted(series.skipped, 'message')} held no number", "yellow")

    def progress(self) -> Progress:
        """Return progress bars on standard error, silent where that is no terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  messages: {task.fields[messages]:,}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )


def counted(count: int, thing: str) -> str:
    """Return the number with the thing after it, in the plural but for one: `1,042 messages`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def printable(text: str) -> str:
    """Return text whose control characters are written out: they could take over a terminal."""
    if text.isprintable():
        return text
    shown = (one if one.isprintable() else repr(one)[1:-1] for one in text)
    return "".join(shown)


def shown_payload(message: Message) -> str:
    """Return a payload as it can be shown on one line."""
    if message.encoding is None:
        return printable(message.payload)
    content = message.bytes
    dots = "…" if len(content) > SHOWN_BYTES else ""
    return f"<{len(content)} bytes> {content[:SHOWN_BYTES].hex(' ')}{dots}"


def message_line(message: Message) -> Text:
    """Return one message as a coloured line, with the local time."""
    from rich.text import Text

    time = f"{message.timestamp.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    line = Text.assemble((time, "dim"), "  ", (printable(message.topic), "cyan"), "  ")
    line.append(shown_payload(message), "magenta" if message.encoding else "")
    if message.retain:
        line.append("  retained", "yellow")
    return line


def topic_tree(topics: Iterable[Topic]) -> Tree:
    """Return topics as a tree of their levels, with counts and last values."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree("", hide_root=True)
    branches: dict[str, Tree] = {"": root}
    for topic in topics:
        branch, path = root, ""
        for level in topic.topic.split("/"):
            path += f"/{level}"
            if path not in branches:
                branches[path] = branch.add(Text(printable(level) or "(empty)", "cyan"))
            branch = branches[path]
        last = topic.last_message
        label = Text.assemble(branch.label if isinstance(branch.label, Text) else "")
        label.append(f"  {topic.message_count:,}", "dim")
        if last is not None:
            label.append(f"  {shown_payload(last)[:60]}")
        branch.label = label
    return root


def plain(value: Any) -> Text:
    """Return a cell: what comes from the service is never markup."""
    from rich.text import Text

    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return Text(printable(shown))


def flattened(fields: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """Yield names and values, those of inner objects with dotted names."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{before}{printable(str(name))}.")
        elif value not in ([], None):
            yield f"{before}{printable(str(name))}", value


def spark_line(numbers: list[float]) -> str:
    """Return the shape of a series as one line of blocks."""
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    step = (high - low) / (len(SPARKS) - 1) or 1.0
    return "".join(SPARKS[round((number - low) / step)] for number in numbers[-120:])
