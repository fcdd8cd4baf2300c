"""WebSocket frames as bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.frames import BatchFrames, SingleFrames, text_frame
from tests.recordings import message


def read_frames(data: bytes) -> list[bytes]:
    """Read unmasked text frames as RFC 6455, section 5.2, has them."""
    contents = []
    while data:
        assert data[0] == 0b1000_0001, "final, no extension, text"
        assert data[1] < 128, "a server does not mask"
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
            assert size >= 126, "the shortest form"
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
            assert size >= 1 << 16, "the shortest form"
        assert len(data) >= start + size
        contents.append(data[start : start + size])
        data = data[start + size :]
    return contents


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_a_frame_has_the_shortest_header_for_its_size(size: int) -> None:
    """At every border of the length's three forms the content comes out whole."""
    content = b"x" * size
    assert read_frames(text_frame(content)) == [content]
    assert len(text_frame(content)) - size == (2 if size < 126 else 4 if size < 65_536 else 10)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=100) | st.binary(max_size=100), max_size=5))
def test_single_frames_are_one_message_each(some: list[str | bytes]) -> None:
    """Joined frames are as many JSON objects of type message, in order."""
    frames = SingleFrames()
    given_ones = [message(payload=one, id=number) for number, one in enumerate(some)]
    shown = [json.loads(one) for one in read_frames(frames.join(map(frames.encode, given_ones)))]
    assert [(one["type"], one["id"]) for one in shown] == [
        ("message", number) for number in range(len(some))
    ]


def test_a_batch_is_one_frame() -> None:
    """With batch=true the messages of a commit are a list in one frame, without a type each."""
    frames = BatchFrames()
    given_ones = [message("a", "1", id=1), message("b", b"\xff", id=2)]
    (content,) = read_frames(frames.join([frames.encode(one) for one in given_ones]))
    shown = json.loads(content)
    assert shown["type"] == "messages"
    assert [(one["id"], one["payload"]) for one in shown["messages"]] == [(1, "1"), (2, "/w==")]
    assert all("type" not in one for one in shown["messages"])


def test_other_frames_are_compact_json() -> None:
    """News of any kind are one text frame in plain UTF-8."""
    for frames in (SingleFrames(), BatchFrames()):
        (content,) = read_frames(frames.frame({"type": "gap", "reason": "ä"}, 7))
        assert content == '{"type":"gap","reason":"ä"}'.encode()
