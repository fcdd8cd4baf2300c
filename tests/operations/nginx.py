"""A real nginx with the example that we ship, on free ports."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.mosquitto import free_port, wait_until_listening
from tests.service_process import ROOT

EXAMPLE = ROOT / "proxy/nginx.conf"


def nginx_path() -> str | None:
    """Return where nginx is (Debian keeps it in /usr/sbin), or None."""
    return shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")


class Nginx:
    """One nginx process in front of a port of ours; only ports and paths of files are put in."""

    def __init__(self, directory: Path, behind_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        example = EXAMPLE.read_text(encoding="utf-8")
        example = example.replace("127.0.0.1:8000", f"127.0.0.1:{behind_port}")
        (directory / "site.conf").write_text(
            example.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        files = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)
        self._file = directory / "nginx.conf"
        self._file.write_text(
            f"daemon off; master_process off; worker_processes 1; pid {directory}/pid;\n"
            f"error_log {directory}/error.log notice; events {{}}\n"
            f"http {{ access_log off; {files} include {directory}/site.conf; }}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        path = nginx_path()
        assert path is not None
        self._process = subprocess.Popen([path, "-c", self._file], stderr=subprocess.DEVNULL)
        wait_until_listening(self.port)

    def stop(self) -> None:
        """End it; safe to repeat."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
