"""The command line in pipes and on a real terminal (a pseudo-terminal), as people drive it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from fcntl import ioctl
from pathlib import Path
from select import select
from termios import TIOCSWINSZ

import pytest

from client import MQTTAPIClient
from client.cli.app import app, run
from tests.service_process import ROOT, ServiceProcess

COMMANDS = sorted(app.commands)


def environment(url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "MQTT_API_URL": url,
        "TERM": "xterm-256color",
        **more,
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "client", *arguments]


def piped(
    url: str, *arguments: str, content: bytes = b"", status: int = 0, **more: str
) -> tuple[str, str]:
    """Run one command in pipes; return what it wrote to standard output and error."""
    done = subprocess.run(
        command(*arguments),
        input=content,
        capture_output=True,
        env=environment(url, **more),
        cwd="/",
        timeout=30,
        check=False,
    )
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return done.stdout.decode(), done.stderr.decode()


def records(url: str, *arguments: str) -> list[dict[str, object]]:
    """Run one command in this process, which is faster; return the objects that it writes."""
    with redirect_stdout(io.StringIO()) as written:
        assert run([*arguments, "--url", url]) == 0
    return [json.loads(line) for line in written.getvalue().splitlines()]


class Terminal:
    """One command on a pseudo-terminal of 100 columns."""

    def __init__(self, url: str, *arguments: str, program: Sequence[str] | None = None) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        ioctl(self._ours, TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            program or command(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(url),
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, 0x540E, 0),  # TIOCSCTTY: so that Ctrl-C is a signal
        )
        os.close(theirs)

    def wait_for(self, text: str) -> str:
        """Read until the text was shown; AssertionError after 15 s."""
        deadline = time.monotonic() + 15
        while text not in self.shown:
            assert time.monotonic() < deadline and self._read(), self.shown
        return self.shown

    def _read(self) -> bool:
        if not select([self._ours], [], [], 15)[0]:
            return False
        with suppress(OSError):  # Linux says so when the other side is closed
            data = os.read(self._ours, 65_536)
            self.shown += data.decode("utf-8", "replace")
            return bool(data)
        return False

    def press(self, key: str) -> None:
        """Type."""
        os.write(self._ours, key.encode())

    def end(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        status = self.process.wait(15)
        os.close(self._ours)
        return status


@contextmanager
def terminal(url: str, *arguments: str, program: Sequence[str] | None = None) -> Iterator[Terminal]:
    """Drive one command, or another program."""
    one = Terminal(url, *arguments, program=program)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture(scope="module")
def url(shared: ServiceProcess) -> str:
    with MQTTAPIClient(shared.url) as client:
        client.publish_many(
            [("t/a/1", n) for n in range(5)] + [("t/b", b"\xff\x00"), ("t/c", "x\x1b[2Jy")]
        )
        shared.wait_for(lambda: len(client.get_messages("t/#")) == 7)
    return shared.url


def test_what_is_published_comes_from_an_argument_a_pipe_or_a_file(
    url: str, shared: ServiceProcess, tmp_path: Path
) -> None:
    """Byte for byte, or a message a line; at QoS 1 the broker's word is reported."""
    picture = tmp_path / "picture"
    picture.write_bytes(b"\xff\xd8\x00")
    assert '"confirmed":true' in piped(url, "publish", "p/arg", "on", "--qos", "1", "--retain")[0]
    piped(url, "publish", "p/pipe", content=b"a\nb\n")
    piped(url, "publish", "p/dash", "-", content=b"dash")
    piped(url, "publish", "p/file", "--file", str(picture))
    many = b"".join(b"%d\n" % n for n in range(2_500))
    out = piped(url, "publish", "p/lines", "--lines", content=many)[0]
    assert json.loads(out) == {"topic": "p/lines", "published": 2_500, "failed": 0}
    with MQTTAPIClient(url) as client:
        shared.wait_for(lambda: len(list(client.messages("p/#"))) >= 2_504)
        payloads = {m.topic: m.bytes for m in client.messages("p/#")}
        assert payloads["p/arg"] == b"on" and payloads["p/pipe"] == b"a\nb\n"
        assert payloads["p/dash"] == b"dash" and payloads["p/file"] == b"\xff\xd8\x00"
        assert [m.payload for m in client.messages("p/lines", order="asc")] == [
            str(n) for n in range(2_500)
        ]
    assert "wildcards" in piped(url, "publish", "a/#", "x", status=1)[1]


def test_in_a_pipe_everything_is_one_json_object_a_line(url: str) -> None:
    """Messages as the service writes them, the newest last."""
    history = records(url, "history", "t/a/#", "-n", "3")
    assert [one["payload"] for one in history] == ["2", "3", "4"]
    assert set(history[0]) == {"id", "topic", "payload", "timestamp", "qos", "retain"}
    assert [
        one["payload"] for one in records(url, "history", "t/a/#", "--after", "0", "-n", "2")
    ] == ["0", "1"]
    assert [one["topic"] for one in records(url, "topics", "t/#")] == ["t/a/1", "t/b", "t/c"]
    assert records(url, "series", "t/a/1")[0]["count"] == 5
    assert "epoch" in records(url, "stats")[0] and records(url, "health")[0]["reasons"] == []
    assert records(url, "health", "--ready")[0]["status"] == "ready"
    assert records(url, "subscribe", "s/#", "--qos", "1") == [{"topic": "s/#", "qos": 1}]
    assert "s/#" in [one["topic"] for one in records(url, "subscriptions")]
    assert records(url, "unsubscribe", "s/#") == [{"topic": "s/#", "still_covered_by": ["#"]}]
    tail = records(url, "tail", "t/#", "--since", "all", "-n", "7")
    assert [one["topic"] for one in tail] == ["t/a/1"] * 5 + ["t/b", "t/c"]


def test_a_tail_keeps_its_place_in_a_file(url: str, tmp_path: Path) -> None:
    """With --cursor the next run goes on behind the last message shown."""
    asked = ("tail", "t/#", "--since", "all", "--cursor", str(tmp_path / "cursor"), "-n", "3")
    shown = [one["id"] for _ in range(2) for one in records(url, *asked)]
    assert shown == sorted(set(shown)) and len(shown) == 6


def test_an_export_is_replayed_at_its_pace_or_faster(url: str, tmp_path: Path) -> None:
    """What comes back is what went, in order, after the time that the speed makes of it."""
    file = tmp_path / "e.ndjson"
    lines = [
        {
            "id": n,
            "topic": "r/x",
            "payload": str(n),
            "timestamp": f"2026-01-01T00:00:{5 * n:02}.000000Z",
            "qos": 1,
            "retain": False,
        }
        for n in range(5)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    begun = time.monotonic()
    out, _ = piped(url, "replay", str(file), "--speed", "20x", "--prefix", "copy/")
    assert json.loads(out) == {"published": 5, "failed": 0}
    assert 1.0 <= time.monotonic() - begun < 20  # they were sent within 20 s
    piped(url, "replay", str(file), "--speed", "max", "--prefix", "copy/")
    export = tmp_path / "copy.csv"
    assert records(url, "export", str(export), "copy/#")[0]["messages"] == 10
    assert export.read_text().startswith("id,time,topic")
    assert [one["payload"] for one in records(url, "history", "copy/#")] == [*"01234"] * 2
    content = file.read_bytes()
    out, _ = piped(url, "replay", "-", "--speed", "max", "--prefix", "in/", content=content)
    assert json.loads(out) == {"published": 5, "failed": 0}
    for wrong in (b"no json\n", b"\xff\n", b"[]\n"):
        file.write_bytes(wrong)
        assert "line 1 of" in piped(url, "replay", str(file), status=1)[1]
    assert "goes into a file" in piped(url, "export", "-", status=2)[1]
    assert "looks like 10x" in piped(url, "replay", str(file), "--speed", "0", status=2)[1]


def test_on_a_terminal_there_are_colours_trees_and_tables(url: str, tmp_path: Path) -> None:
    """And nothing that a payload says can take the terminal over."""
    with terminal(url, "topics", "t/#") as one:
        shown = one.wait_for("<2 bytes> ff 00")
        assert one.end() == 0
    assert "├──" in shown and "\x1b[36m" in shown and "x\\x1b[2Jy" in one.shown
    assert "x\x1b[2J" not in one.shown
    for arguments, words in {
        ("history", "t/a/#"): "t/a/1",
        ("series", "t/a/1"): "count",
        ("health",): "healthy",
        ("publish", "t2/new", "hello", "--qos", "1"): "confirmed by the broker",
    }.items():
        with terminal(url, *arguments) as one:
            one.wait_for(words)
            assert one.end() == 0
    with terminal(url, "export", str(tmp_path / "e"), "t/#") as one:
        assert one.end() == 0
        assert "messages: 7" in one.shown and "100 %" in one.shown
    with terminal(url, "health", "--json") as one:
        assert one.end() == 0
        assert json.loads(one.shown)["status"] == "healthy"


def test_ctrl_c_ends_a_tail_without_a_word(url: str) -> None:
    """Status 130, and no traceback; in a pipe as well."""
    with terminal(url, "tail", "t/#", "--since", "all") as one:
        one.wait_for("t/c")
        one.press("\x03")
        assert one.end() == 130
        assert "Traceback" not in one.shown
    with subprocess.Popen(
        command("tail", "t/#", "--since", "all"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(url),
        cwd=ROOT,
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert json.loads(running.stdout.readline())["topic"] == "t/a/1"
        running.send_signal(signal.SIGINT)
        assert (running.wait(10), running.stderr.read()) == (130, b"")


def test_a_closed_pipe_is_quiet(url: str) -> None:
    """`| head -1` ends it with the status that SIGPIPE has, and without a word."""
    for arguments in ("tail --since all", "history -n 0", "topics"):
        line = f'"{sys.executable}" -m client {arguments} | true; exit ${{PIPESTATUS[0]}}'
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, env=environment(url), timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (141, b""), arguments


def test_what_is_wrong_is_one_sentence_and_a_status(service: ServiceProcess) -> None:
    """A wrong URL, a wrong key, a wrong file: no traceback, one line, not 0."""
    service.start(API_KEY_REQUIRED="true", API_KEY="right")
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    cases: list[tuple[str, tuple[str, ...], str]] = [
        ("http://127.0.0.1:9", ("health",), "cannot be reached: Connection refused"),
        ("http://127.0.0.1:9", ("tail",), "cannot be reached: Connection refused"),
        ("nonsense", ("stats",), "is no URL of the service"),
        (f"{service.url}/x", ("stats",), "there is no"),
        (service.url, ("stats",), "this needs a key"),
        (service.url, ("tail",), "key"),
        (service.url, ("stats", "--key", "wrong"), "the key is wrong or has expired"),
        (service.url, ("publish", "a", "--file", "/no/such"), "/no/such: No such file"),
        (service.url, ("export", "/no/such/dir/e", "--key", "right"), "No such file"),
    ]
    for url, arguments, words in cases:
        out, complaint = piped(url, *arguments, status=1)
        assert out == "" and words in complaint, (arguments, complaint)
        assert complaint.startswith("mqtt-api: ") and complaint.count("\n") == 1, complaint
    assert '"epoch"' in piped(service.url, "stats", MQTT_API_KEY="right")[0]


def test_health_is_for_scripts(service: ServiceProcess, broker: object) -> None:
    """The exit status is 1 while the broker is away; the answer still says why."""
    service.start(ready=True)
    broker.stop()  # type: ignore[attr-defined]
    service.wait_for(lambda: service.get("/health").json()["status"] == "degraded")
    out, _ = piped(service.url, "health", status=1)
    assert json.loads(out)["reasons"]
    piped(service.url, "health", "--ready", status=1)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_an_example_and_takes_the_common_options(name: str) -> None:
    """`--help` ends with an example; `--json`, `--url` and `--key` are everywhere."""
    one = app.commands[name]
    assert one.epilog and f"mqtt-api {name}" in one.epilog and one.help
    options = {option for parameter in one.params for option in parameter.opts}
    assert name == "completion" or {"--url", "--key", "--json", "--timeout"} <= options


def test_common_options_stand_before_the_command_or_behind_it(
    service: ServiceProcess, tmp_path: Path
) -> None:
    """Each of them; the later one holds, and both hold against the environment."""
    service.start(API_KEY_REQUIRED="true", API_KEY="right")
    here, nowhere = ("--url", service.url), ("--url", "http://127.0.0.1:9")
    key, wrong = ("--key", "right"), ("--key", "wrong")
    for url, arguments in [
        ("http://x", (*here, *key, "--json", "--timeout", "9", "stats")),
        (service.url, (*nowhere, *wrong, "stats", *here, *key)),
        (service.url, (*wrong, "--ca-file", "", "stats", *key)),
    ]:
        assert '"epoch"' in piped(url, *arguments, MQTT_API_KEY="neither")[0]
    assert "127.0.0.1:9 cannot" in piped(service.url, *here, "health", *nowhere, status=1)[1]
    missing = ("--ca-file", str(tmp_path / "none.pem"))
    complaint = piped(service.url, *missing, "health", status=1)[1]
    assert "none.pem cannot be used: No such file or directory" in complaint
    before = set(re.findall(r"  (--[a-z-]+)", piped(service.url, "--help")[0]))
    behind = set(re.findall(r"  (--[a-z-]+)", piped(service.url, "stats", "--help")[0]))
    assert before - {"--version"} == behind >= {"--url", "--key", "--json", "--timeout"}


def test_a_wrong_command_line_is_explained() -> None:
    """Status 2, and how it is used; without a command the help."""
    assert "Usage: mqtt-api publish" in piped("http://x", "publish", status=2)[1]
    assert "No such command" in piped("http://x", "pubish", status=2)[1]
    assert "Commands:" in piped("http://x")[0] and "1.0.0" in piped("http://x", "--version")[0]


def test_the_shell_completes_commands_options_and_topics(url: str) -> None:
    """The scripts name our variable; topics come from the service, level by level."""
    for shell in ("bash", "zsh", "fish"):
        assert "_MQTT_API_COMPLETE" in piped(url, "completion", shell)[0]

    def completed(words: str, at: int) -> set[str]:
        more = {"_MQTT_API_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        out, _ = piped(url, **more)
        return set(re.findall(r"^plain,(\S+)$", out, re.MULTILINE))

    assert "compopt -o nospace" in piped(url, "completion", "bash")[0]
    assert "-S ''" in piped(url, "completion", "zsh")[0]
    assert {"publish", "purge"} & completed("mqtt-api pu", 1) == {"publish"}
    assert "--since" in completed("mqtt-api tail --", 2)
    assert completed("mqtt-api tail t/", 2) >= {"t/a/", "t/b", "t/c"}


def test_a_real_bash_completes_level_by_level(url: str, tmp_path: Path) -> None:
    """A person presses Tab: a level of a topic is completed, and more can be typed behind it."""
    folder = Path(sys.executable).parent
    start = tmp_path / "bashrc"
    start.write_text(f'PATH="{folder}:$PATH"; PS1="ready> "; eval "$(mqtt-api completion bash)"\n')
    with terminal(url, program=["bash", "--rcfile", str(start), "-i"]) as one:
        one.wait_for("ready> ")
        one.press("mqtt-api hist\t")
        one.wait_for("history ")
        one.press("t/a\t")
        one.wait_for("t/a/")
        one.press("\t")
        one.wait_for("t/a/1 ")
        one.press(" -n 1\r")
        one.wait_for("t/a/1\x1b[0m")
        one.press("exit\r")
        one.end()
