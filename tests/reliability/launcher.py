"""The service with a saboteur inside: `python -m tests.reliability.launcher SOCKET [SECONDS]`.

The product has no hooks for tests. This program imports it, wraps the functions that are to fail,
starts it as `server.py` does, and takes orders on a Unix socket, one JSON object a line:
`{"do": "throw", "at": PLACE}`, `{"do": "hang", "at": PLACE, "seconds": N}`, which `{"do":
"release"}` ends sooner, `{"do": "fired"}`,
`{"do": "lags"}`. A place is `module:Class.function`; the next call of it throws or hangs, once.
SECONDS stands for those after which something counts as hanging, for those who cannot wait.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import pkgutil
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import handlers
import server
from gateway import liveness
from handlers.base import Handler

LAG_STEP_S = 0.01
METHODS = ("get", "post", "delete")
# What is called by paho, by the event loop, by the mailbox, by the hub, or on a thread.
CALLBACKS = (
    "gateway.broker.session:Session._prepare",
    "gateway.broker.session:Session._on_connect",
    "gateway.broker.session:Session._on_disconnect",
    "gateway.broker.session:Session._on_publish",
    "gateway.broker.session:Session._on_confirmed",
    "gateway.broker.session:Session._on_answer",
    "gateway.broker.session:Session._ended",
    "gateway.broker.intake:Intake.take_publish",
    "gateway.broker.broker:Broker.on_connected",
    "gateway.broker.broker:Broker.on_disconnected",
    "gateway.broker.broker:Broker.on_published",
    "gateway.broker.broker:Broker.on_answered",
    "gateway.broker.broker:Broker.acknowledge",
    "gateway.arrivals:Arrivals.begin",
    "gateway.arrivals:Arrivals.put",
    "gateway.holdings:Holdings.connection_changed",
    "gateway.holdings:Holdings._renew_all",
    "gateway.mailbox:Mailbox.done",
    "gateway.redelivery:RedeliveryWindow.connected",
    "gateway.redelivery:RedeliveryWindow.is_known",
    "gateway.redelivery:RedeliveryWindow.stored",
    "gateway.recorder:Recorder._sorted",
    "gateway.recorder:Recorder._store",
    "gateway.hub:Hub.publish",
    "gateway.hub:Hub.tell",
    "gateway.reader:Reader.send",
    "gateway.reader:Reader._feed_page",
    "store.history:History.append",
    "store.log_writer:LogWriter.append",
    "handlers.frames:SingleFrames.encode",
    "handlers.websocket:LiveSocket.open",
    "handlers.websocket:LiveSocket.on_message",
    "handlers.websocket:LiveSocket.on_close",
    "handlers.commands:Commands._do",
)
# Where a stream that has taken its place begins.
BEGINNING = "handlers.stream:StreamHandler.start_reader"


class Sabotaged(Exception):
    """Thrown where the experiment wants it."""


class Saboteur:
    """Wraps functions, and has the next call of one fail. Any thread may call it."""

    def __init__(self) -> None:
        self._armed: dict[str, Callable[[], object]] = {}
        self.fired: list[str] = []
        self.released = threading.Event()

    def arm(self, place: str, act: Callable[[], object]) -> None:
        """Have the next call at the place begin with `act`."""
        self._armed[place] = act

    def wrap(self, owner: type, name: str, place: str) -> None:
        """Put ourselves before a function of a class."""
        original = vars(owner)[name]
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def wrapped(*args: Any, **kwargs: Any) -> Any:
                self._act(place)
                return await original(*args, **kwargs)
        else:

            @functools.wraps(original)
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                self._act(place)
                return original(*args, **kwargs)

        setattr(owner, name, wrapped)

    def _act(self, place: str) -> None:
        act = self._armed.pop(place, None)
        if act is not None:
            self.fired.append(place)
            act()


def throw() -> None:
    """Fail."""
    raise Sabotaged("thrown by the experiment")


def handler_places() -> list[str]:
    """Return every method of every handler."""
    for module in pkgutil.iter_modules(handlers.__path__):
        importlib.import_module(f"handlers.{module.name}")
    found, left = [], [Handler]
    while left:
        one = left.pop()
        left += one.__subclasses__()
        found += [f"{one.__module__}:{one.__qualname__}.{m}" for m in METHODS if m in vars(one)]
    return sorted(set(found))


def wrap_everything(saboteur: Saboteur) -> None:
    """Wrap all places."""
    for place in {*CALLBACKS, BEGINNING, *handler_places()}:
        module, _, rest = place.partition(":")
        owner, _, name = rest.rpartition(".")
        saboteur.wrap(getattr(importlib.import_module(module), owner), name, place)


async def measure_lag(lags: list[float]) -> None:
    """Note how late each timer of the event loop is, for ever."""
    while True:
        due = time.monotonic() + LAG_STEP_S
        await asyncio.sleep(LAG_STEP_S)
        lags.append(time.monotonic() - due)


def obey(path: str, saboteur: Saboteur, lags: list[float]) -> None:
    """Take orders, for ever."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            with connection, connection.makefile("rw") as lines:
                order = json.loads(lines.readline())
                answer: Any = None
                if order["do"] == "throw":
                    saboteur.arm(order["at"], throw)
                elif order["do"] == "hang":
                    saboteur.released.clear()
                    hang = functools.partial(saboteur.released.wait, order["seconds"])
                    saboteur.arm(order["at"], hang)
                elif order["do"] == "release":
                    saboteur.released.set()
                elif order["do"] == "fired":
                    answer, saboteur.fired[:] = list(saboteur.fired), []
                elif order["do"] == "lags":
                    answer, lags[:] = list(lags), []
                lines.write(json.dumps(answer) + "\n")


def main() -> int:
    """Run the service, sabotaged."""
    saboteur, lags = Saboteur(), []  # type: Saboteur, list[float]
    wrap_everything(saboteur)
    serve = server.serve
    if len(sys.argv) > 2:
        liveness.STALLED_AFTER_S = float(sys.argv[2])
        liveness.LOOK_S = liveness.STALLED_AFTER_S / 6  # as it is with the real figures

    @asynccontextmanager
    async def observed(config: Any) -> AsyncIterator[Any]:
        async with serve(config) as service:
            measuring = asyncio.create_task(measure_lag(lags))
            yield service
            measuring.cancel()

    server.serve = observed
    threading.Thread(target=obey, args=(sys.argv[1], saboteur, lags), daemon=True).start()
    return server.main([])


if __name__ == "__main__":
    sys.exit(main())
