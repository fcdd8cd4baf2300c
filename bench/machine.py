"""What the machine is, what a process has used, and which cores it may use.

Answers for: facts without names or paths, CPU time and memory from /proc, and affinity. Does
not: start anything.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from tests.mosquitto import mosquitto_path

PACKAGES = ("tornado", "paho-mqtt", "aiosqlite", "fastapi", "uvicorn")


def facts() -> dict[str, str]:
    """Return what a reader of the figures needs to know of the machine."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    found = {
        "CPU": f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int(memory.group(1)) / 2**20:.0f} GiB" if memory else "unknown",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "mosquitto": _mosquitto_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["load before"] = f"{os.getloadavg()[0]:.1f}"
    return found


def _mosquitto_version() -> str:
    path = mosquitto_path()
    if path is None:
        return "not installed"
    said = subprocess.run([path, "-h"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\S+)", said)
    return version.group(1) if version else "unknown"


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def measured_side() -> Iterator[None]:
    """What is started within may use the last core only: the one that is measured."""
    with _on_cores(sorted(os.sched_getaffinity(0))[-1:]):
        yield


@contextmanager
def load_side() -> Iterator[None]:
    """What is started within leaves the last core alone: brokers, publishers and receivers."""
    cores = sorted(os.sched_getaffinity(0))
    with _on_cores(cores[:-1] or cores):
        yield


@contextmanager
def _on_cores(cores: list[int]) -> Iterator[None]:
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)
