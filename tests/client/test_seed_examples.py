"""The three client examples that the product was asked for with run unchanged but for the port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from client import MQTTAPIClient
from tests.service_process import ROOT, ServiceProcess

SYNC = """
from client import MQTTAPIClient

# Initialize client
with MQTTAPIClient("http://localhost:8000") as client:
    # Check health
    health = client.health_check()
    print(f"API Health: {health}")
    
    # Publish message
    result = client.publish("test/topic", "Hello, MQTT!")
    print(f"Publish result: {result}")
    
    # Subscribe to topic
    result = client.subscribe("test/topic")
    print(f"Subscribe result: {result}")
    
    # Get message history
    messages = client.get_messages(limit=10)
    print(f"Recent messages: {messages}")
"""  # noqa: W293

ASYNC = """
import asyncio
from client import AsyncMQTTAPIClient

async def main():
    async with AsyncMQTTAPIClient("http://localhost:8000") as client:
        # Check health
        health = await client.health_check()
        print(f"API Health: {health}")
        
        # Publish message
        result = await client.publish("test/topic", "Hello, Async MQTT!")
        print(f"Publish result: {result}")
        
        # Subscribe to topic
        result = await client.subscribe("test/topic")
        print(f"Subscribe result: {result}")

asyncio.run(main())
"""  # noqa: W293

SOCKET = """
import asyncio
from client import MQTTWebSocketClient

async def message_handler(data):
    print(f"Received: {data}")

async def main():
    client = MQTTWebSocketClient(message_handler=message_handler)
    
    try:
        await client.connect()
        await client.listen()
    except KeyboardInterrupt:
        print("Stopping WebSocket client...")
    finally:
        await client.disconnect()

asyncio.run(main())
"""  # noqa: W293


def start(program: str, service: ServiceProcess, directory: Path) -> subprocess.Popen[str]:
    """Run an example in a folder that knows nothing of the repository."""
    there = program.replace("localhost:8000", f"127.0.0.1:{service.port}").replace(
        "MQTTWebSocketClient(", f'MQTTWebSocketClient("ws://127.0.0.1:{service.port}/ws", '
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-u", "-c", there],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_synchronous_example(shared: ServiceProcess, tmp_path: Path) -> None:
    """Four answers of the service, printed as dictionaries and a list."""
    with start(SYNC, shared, tmp_path) as running:
        shown, complaints = running.communicate(timeout=30)
    assert (running.returncode, complaints) == (0, "")
    health, published, subscribed, recent = shown.splitlines()
    assert health.startswith("API Health: {'status': 'healthy', 'mqtt_connected': True")
    assert published.startswith("Publish result: {'success': True, 'message': 'Message published")
    assert "'data': {'topic': 'test/topic', 'qos': 0}" in subscribed
    assert recent.startswith("Recent messages: [")


def test_the_asynchronous_example(shared: ServiceProcess, tmp_path: Path) -> None:
    """The same on asyncio."""
    with start(ASYNC, shared, tmp_path) as running:
        shown, complaints = running.communicate(timeout=30)
    assert (running.returncode, complaints) == (0, "")
    assert [line.partition(":")[0] for line in shown.splitlines()] == [
        "API Health",
        "Publish result",
        "Subscribe result",
    ]


def test_the_websocket_example(shared: ServiceProcess, tmp_path: Path) -> None:
    """Each frame is handed to the handler as a dictionary, until Ctrl-C."""
    with start(SOCKET, shared, tmp_path) as running:
        assert running.stdout is not None and running.stderr is not None
        assert running.stdout.readline().startswith("Received: {'type': 'welcome'")
        with MQTTAPIClient(shared.url) as client:
            client.publish("test/topic", "Hello, socket!", qos=1)
        for line in running.stdout:
            if "'type': 'message'" in line and "Hello, socket!" in line:
                break
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=10)
    assert running.returncode != 0  # its own KeyboardInterrupt, which asyncio raises at the end


def test_the_names_and_defaults_of_the_seed() -> None:
    """Where nothing is said, the client talks to port 8000 of this machine."""
    with MQTTAPIClient() as client:
        assert client.base_url == "http://localhost:8000"
        assert client.session is not None and callable(client.get_statistics)
    from client import AsyncMQTTAPIClient, MQTTWebSocketClient

    assert AsyncMQTTAPIClient().client is not None
    socket = MQTTWebSocketClient()
    assert socket.ws_url == "ws://localhost:8000/ws" and socket.message_handler is None
    for name in ("connect", "listen", "disconnect", "send_ping", "start_heartbeat"):
        assert callable(getattr(socket, name))
