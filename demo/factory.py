"""A small factory that does not exist: what its machines would say.

Answers for: plausible values, and the alerts and states that follow from them. Does not: send
anything, or know the time; the caller asks for the next step when it is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

LINES = (("line1", ("press1", "oven1", "robot1")), ("line2", ("press2", "oven2", "robot2")))
# Part of the way to where a value is heading that it goes in one step, calm or disturbed.
CALM_PULL = 0.1
DISTURBED_PULL = 0.5
# Steps that a disturbed value stays above its limit before somebody has repaired the machine.
REPAIR_STEPS = 3
# Chance in each round of readings. One machine in trouble is a story, all of them are noise.
DISTURBANCE_CHANCE = 0.25
# An alert ends this far below the limit, so that a value on the edge does not chatter.
ALL_CLEAR = 0.97


@dataclass(frozen=True, slots=True)
class Publication:
    """One message to publish. `payload` is any JSON value."""

    topic: str
    payload: object
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """What a machine measures; `noise` is the standard deviation from step to step."""

    name: str
    unit: str
    usual: float
    noise: float
    limit: float
    as_object: bool


SIGNALS = (
    Signal("temperature", "C", 45.0, 0.3, 60.0, False),
    Signal("pressure", "bar", 6.0, 0.04, 8.0, False),
    Signal("vibration", "mm/s", 2.2, 0.05, 4.5, True),
    Signal("power", "kW", 11.0, 0.2, 16.0, True),
)


class Gauge:
    """One signal of one machine, drifting around its usual value until it is disturbed."""

    def __init__(self, line: str, machine: str, signal: Signal, random: Random) -> None:
        self.line = line
        self.machine = machine
        self.signal = signal
        self._random = random
        self._steps_left = 0
        self.value = signal.usual + random.gauss(0, signal.noise)

    def disturb(self) -> None:
        """Let it climb over its limit, and come back after a while."""
        self._steps_left = REPAIR_STEPS

    @property
    def is_disturbed(self) -> bool:
        """Whether it is heading for its limit, or above it."""
        return bool(self._steps_left)

    def step(self) -> None:
        """Move on to the next value."""
        signal = self.signal
        goal, pull = signal.usual, CALM_PULL
        if self._steps_left:
            goal, pull = signal.limit * 1.2, DISTURBED_PULL
            if self.value > signal.limit:
                self._steps_left -= 1
        elif self.value > signal.limit * ALL_CLEAR:
            pull = DISTURBED_PULL
        self.value += pull * (goal - self.value) + self._random.gauss(0, signal.noise)

    def reading(self) -> Publication:
        """Return what the machine reports now: a bare number, or an object with its unit."""
        value = round(self.value, 2)
        payload = {"value": value, "unit": self.signal.unit} if self.signal.as_object else value
        return Publication(f"factory/{self.line}/{self.machine}/{self.signal.name}", payload)


class Factory:
    """Two lines of three machines with four signals each. One step is one reading."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._gauges = [
            Gauge(line, machine, signal, random)
            for line, machines in LINES
            for machine in machines
            for signal in SIGNALS
        ]
        self._next = 0
        self._alarmed: set[Gauge] = set()
        # The first reading is the first alert: nobody likes to wait for something to happen.
        self._gauges[0].disturb()
        self._gauges[0].value = self._gauges[0].signal.limit

    def states(self) -> list[Publication]:
        """Return the retained state of every machine."""
        return [self._state(machine) for _, machines in LINES for machine in machines]

    def step(self) -> list[Publication]:
        """Return the next reading, and the alert and the state that follow from it."""
        if self._next == 0 and self._random.random() < DISTURBANCE_CHANCE:
            self._random.choice(self._gauges).disturb()
        gauge = self._gauges[self._next]
        self._next = (self._next + 1) % len(self._gauges)
        gauge.step()
        return [gauge.reading(), *self._consequences(gauge)]

    def _consequences(self, gauge: Gauge) -> list[Publication]:
        limit = gauge.signal.limit
        if gauge.value > limit and gauge not in self._alarmed:
            self._alarmed.add(gauge)
            alert = {"value": round(gauge.value, 2), "limit": limit, "unit": gauge.signal.unit}
            topic = f"alerts/{gauge.machine}/{gauge.signal.name}"
            return [Publication(topic, alert, qos=1), self._state(gauge.machine)]
        if gauge in self._alarmed and not gauge.is_disturbed and gauge.value < limit * ALL_CLEAR:
            self._alarmed.remove(gauge)
            return [self._state(gauge.machine)]
        return []

    def _state(self, machine: str) -> Publication:
        in_trouble = any(gauge.machine == machine for gauge in self._alarmed)
        word = "fault" if in_trouble else "running"
        return Publication(f"state/{machine}", word, qos=1, retain=True)
