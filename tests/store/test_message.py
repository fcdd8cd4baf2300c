"""A message and its one JSON form."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.message import (
    InvalidPayload,
    Message,
    compact_json,
    decode_base64,
    iso_time,
    message_json,
    payload_bytes,
    text_or_bytes,
)
from tests.recordings import NOW_US, message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=50) | st.text(max_size=20).map(lambda text: text.encode()))
def test_bytes_never_change_on_the_way(payload: bytes) -> None:
    """What arrives is what the JSON form says, as text or as base64, for any bytes."""
    kept = text_or_bytes(payload)
    assert payload_bytes(kept) == payload
    shown = json.loads(message_json(message(payload=kept)))
    if "encoding" in shown:
        assert shown["encoding"] == "base64"
        assert base64.b64decode(shown["payload"]) == payload
        with pytest.raises(UnicodeDecodeError):
            payload.decode()
    else:
        assert shown["payload"].encode() == payload


def test_the_json_form_is_the_contracts() -> None:
    """The example of the contract comes out byte for byte."""
    arrived = Message("factory/line1/press1/temperature", "45.2", NOW_US, qos=1, id=1042)
    assert message_json(arrived) == (
        '{"id":1042,"topic":"factory/line1/press1/temperature","payload":"45.2",'
        '"timestamp":"2026-11-23T10:04:05.123456Z","qos":1,"retain":false}'
    )


def test_the_json_form_shows_what_is_unusual() -> None:
    """No id yet is null; base64, retain and properties are there when they apply."""
    properties = compact_json({"content_type": "a/b", "user_properties": [["k", "v"]]})
    shown = json.loads(
        message_json(message('quote"/ü', b"\xff\x00", retain=True, properties=properties))
    )
    assert shown["id"] is None
    assert shown["topic"] == 'quote"/ü'
    assert (shown["payload"], shown["encoding"], shown["retain"]) == ("/wA=", "base64", True)
    assert shown["properties"] == {"content_type": "a/b", "user_properties": [["k", "v"]]}


@pytest.mark.parametrize(
    ("timestamp_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (999_999, "1970-01-01T00:00:00.999999Z"),
        (1_000_000, "1970-01-01T00:00:01.000000Z"),
        (NOW_US, "2026-11-23T10:04:05.123456Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_exact_to_the_microsecond(timestamp_us: int, text: str) -> None:
    """A time has always six digits and a Z, and is never rounded through a float."""
    assert iso_time(timestamp_us) == text


@pytest.mark.parametrize("text", ["=", "YQ", "YQ=", "Y Q==", "YQ==\n", "-_==", "ä", "YQ==YQ=="])
def test_base64_is_strict(text: str) -> None:
    """Missing padding, other alphabets, spaces and trailing text are refused."""
    with pytest.raises(InvalidPayload, match="base64"):
        decode_base64(text)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40))
def test_base64_gives_back_the_bytes(payload: bytes) -> None:
    """What was encoded is decoded to the same bytes."""
    assert decode_base64(base64.b64encode(payload).decode()) == payload


def test_json_is_compact_plain_utf8_and_never_nan() -> None:
    """There are no spaces and no escapes for letters, and NaN is an error."""
    assert compact_json({"ä": [1, None, True]}) == '{"ä":[1,null,true]}'
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            compact_json(number)


def test_json_without_an_id_is_not_kept() -> None:
    """The writer's thread may give a message its id while it is being written for live readers."""

    class Moment(int):
        def __divmod__(self, other: int) -> tuple[int, int]:
            shown.id = 7
            return super().__divmod__(other)

    shown = Message("a", "1", Moment(NOW_US))
    assert message_json(shown).startswith('{"id":null,')
    assert message_json(shown).startswith('{"id":7,')
