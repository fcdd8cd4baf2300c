"""What can be proven of the containers without an engine: their files, and what runs in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
import yaml

from gateway.variables import FROM_FILE, VARIABLES
from server import VERSION
from tests.docs.test_mosquitto_conf import running, settings
from tests.mosquitto import free_port
from tests.service_process import ROOT, ServiceProcess

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
ACCESS = {"listener", "allow_anonymous", "password_file", "acl_file", "log_dest"}
ACCESS.add("persistence_location")
BIN = Path(sys.executable).parent


def instructions() -> Iterator[tuple[str, str]]:
    """Yield (name, rest) of each instruction of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, re.sub(r"\s+", " ", rest)


def checked(*command: str | Path) -> None:
    """Run a checker; it must have nothing to say against the files."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_checkers_have_nothing_to_say() -> None:
    """hadolint on the Dockerfile, the Compose schema, shellcheck on every script."""
    scripts = [*(ROOT / "systemd").glob("*.sh"), ROOT / "systemd/mqtt-api-server"]
    scripts += [ROOT / "containers/secrets.sh", *ROOT.glob("tests/*.sh"), *ROOT.glob("bench/*.sh")]
    checked(BIN / "hadolint", "Dockerfile")
    checked(
        BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"
    )
    checked(BIN / "shellcheck", *scripts)


def test_the_image_is_small_pinned_and_without_root() -> None:
    """Exact base image, two stages, a user by number, and nothing installed but by the script."""
    found = list(instructions())
    (image,) = [rest for name, rest in found if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", image)
    stages = [index for index, (name, _) in enumerate(found) if name == "FROM"]
    assert len(stages) == 2
    last = dict(found[stages[1] :])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert json.loads(last["ENTRYPOINT"]) == ["mqtt-api-server"]
    assert 'CMD ["mqtt-api-server", "probe"]' in last["HEALTHCHECK"]
    built = [rest for name, rest in found[: stages[1]] if name == "RUN"]
    assert built[0] == "sh systemd/environment.sh /opt/mqtt-api packages"
    assert built[1].startswith("sh systemd/environment.sh /opt/mqtt-api program &&")
    assert re.match(r"# What systemd/install.sh and the Dockerfile install", _lock()[0])
    pinned = [line for line in _lock() if line and not line.startswith(("#", " "))]
    assert pinned and all("==" in line and line.endswith("\\") for line in pinned)


def _lock() -> list[str]:
    return (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def test_what_is_copied_is_there_and_is_let_through() -> None:
    """Each COPY of the first stage names files that exist and that .dockerignore does not hold
    back; and what the service is made of is among what it lets through."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name, rest in instructions():
        source = rest.split()[0]
        if name == "COPY" and source not in (".", "--from=build"):
            assert source in allowed and (ROOT / source).exists()
    packaged = re.findall(r"packages=\[(.*)\]", (ROOT / "setup.py").read_text())
    folders = {one.split(".")[0] for one in re.findall(r'"([\w.]+)"', packaged[0])}
    assert folders | {"server.py", "setup.py", "pyproject.toml", "client"} <= set(allowed)


def test_the_lock_is_what_the_packages_ask_for() -> None:
    """Every requirement of the service and of the client's command line is locked, within its
    bounds."""
    from packaging.requirements import Requirement

    text = (ROOT / "client/pyproject.toml").read_text()
    asked = re.findall(r'"([\w-]+[<>=][^"]+)"', text[text.index("\ndependencies") :])
    asked += (ROOT / "requirements.txt").read_text().splitlines()
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", "\n".join(_lock()), re.MULTILINE))
    for line in asked:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert requirement.specifier.contains(locked[requirement.name]), line


def test_compose_sets_what_exists_and_is_ready_for_a_plant() -> None:
    """Variables are ours, files exist, both restart, the service waits for a healthy broker."""
    service, broker = COMPOSE["services"]["mqtt-api"], COMPOSE["services"]["mosquitto"]
    known = {variable.name for variable in VARIABLES} | {f"{name}_FILE" for name in FROM_FILE}
    assert set(service["environment"]) <= known
    assert service["environment"]["MQTT_CLEAN_SESSION"] == "false"
    assert service["environment"]["CORS_ORIGINS"] == ""
    assert service["environment"]["MQTT_CLIENT_ID"]
    assert service["image"].endswith(f":{VERSION}")
    assert re.fullmatch(r"eclipse-mosquitto:\d+\.\d+\.\d+", broker["image"])
    assert {one["restart"] for one in (service, broker)} == {"unless-stopped"}
    assert service["depends_on"]["mosquitto"]["condition"] == "service_healthy"
    assert "healthcheck" in broker and service["read_only"] and service["cap_drop"] == ["ALL"]
    mounted = [one.split(":")[0] for one in broker["volumes"] if one.startswith("./")]
    for path in mounted:
        assert path.startswith("./secrets/") or (ROOT / path).exists()


def test_the_probe_says_whether_the_service_lives(service: ServiceProcess) -> None:
    """What HEALTHCHECK runs: 0 while it answers, 1 and a sentence when nobody does."""

    def probe() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "server.py", "probe"],
            cwd=ROOT,
            env={"API_PORT": str(service.port)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    service.start()
    assert (probe().returncode, probe().stderr) == (0, "")
    assert service.terminate() == 0
    ill = probe()
    assert ill.returncode == 1 and ill.stderr.startswith(f"no answer on port {service.port}")


@pytest.mark.needs_mosquitto
def test_the_broker_of_the_containers_takes_its_files(tmp_path: Path) -> None:
    """secrets.sh makes passwords once; mosquitto with the shipped settings and access list knows
    both users, and nobody else; apart from access it is mosquitto.conf."""
    shipped = (ROOT / "containers/mosquitto.conf").read_text(encoding="utf-8")
    lines = [line for line in shipped.splitlines() if line and not line.startswith("#")]
    own = dict(line.split(" ", 1) for line in lines)
    rest = {name: value for name, value in settings().items() if name not in ACCESS}
    assert {name: value for name, value in own.items() if name not in ACCESS} == rest

    (tmp_path / "containers").mkdir()
    for name in ("containers/secrets.sh", "containers/mosquitto.acl", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    checked("sh", tmp_path / "containers/secrets.sh")
    secrets = tmp_path / "secrets"
    made = {path: path.read_bytes() for path in secrets.iterdir()}
    checked("sh", tmp_path / "containers/secrets.sh")
    assert {path: path.read_bytes() for path in secrets.iterdir()} == made
    assert secrets.stat().st_mode & 0o077 == 0

    port = free_port()
    text = shipped.replace("listener 1883", f"listener {port} 127.0.0.1")
    text = text.replace("/mosquitto/config/mosquitto.passwd", f"{secrets}/mosquitto.passwd")
    text = text.replace("/mosquitto/config/", f"{tmp_path}/containers/")
    text = text.replace("/mosquitto/data/", f"{tmp_path}/")
    file = tmp_path / "mosquitto.conf"
    file.write_text(f"{text}\nuser root\n")
    with running(file, port):
        for user, name in (("api", "mqtt_password"), ("plant", "plant_password")):
            assert answer_to(port, user, (secrets / name).read_text()) == "Success"
        assert answer_to(port, "api", "api_password") == "Not authorized"
        assert answer_to(port, "", "") == "Not authorized"


def answer_to(port: int, user: str, password: str) -> str:
    """Connect with MQTT 5 and return the broker's reason."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    answers: list[str] = []
    client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(str(reason))
    if user:
        client.username_pw_set(user, password)
    client.connect("127.0.0.1", port)
    while not answers:
        client.loop(1)
    client.disconnect()
    return answers[0]
