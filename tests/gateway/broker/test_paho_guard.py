"""The private parts of paho that we lean on: see docs/decisions/0003 and 0013."""

from __future__ import annotations

import inspect

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5


def test_the_parts_of_paho_that_we_use_are_there() -> None:
    """A paho that renames or changes these fails here, not in a plant."""
    client = Client(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    assert client._protocol == MQTTv5
    assert client._in_packet["command"] == 0, "0 means: between two packets"
    assert list(inspect.signature(Client._create_socket).parameters) == ["self"]
    assert "max_packets" in inspect.signature(Client.loop_read).parameters
    assert "self._create_socket()" in inspect.getsource(Client.reconnect)
    source = inspect.getsource(Client._packet_queue)
    assert "self._on_socket_register_write is None" in source, "else it writes on our thread"


def test_packet_numbers_are_taken_from_paho() -> None:
    """One counter for its packets and ours, and an answer to one of ours that comes twice is
    nothing to it (docs/decisions/0016)."""
    client = Client(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    assert [client._mid_generate(), client._mid_generate()] == [1, 2]
    assert client._out_messages == {}, "by packet number"
    assert "if mid in self._out_messages:" in inspect.getsource(Client._handle_pubackcomp)
    source = inspect.getsource(Client._packet_handle)
    assert 'self._handle_pubackcomp("PUBACK")' in source, "else an answer cut in two is lost"
