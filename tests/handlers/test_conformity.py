"""The quick yes never says yes to what jsonschema would refuse."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.conformity import quick_yes
from handlers.contract import _FORMATS, Contract, load_document

CONTRACT = Contract(load_document(), "1.2.3")
FORMATS = {name: check for name, (check, _) in _FORMATS.items()}
SCHEMAS = load_document()["components"]["schemas"]
QUICK = {
    name: quick_yes(SCHEMAS[name], CONTRACT._resolve, FORMATS)
    for name in ("Publish", "Subscribe", "Request")
}

scalars = st.none() | st.booleans() | st.integers(-3, 70_000) | st.floats() | st.text(max_size=9)
near_values = (
    scalars
    | st.sampled_from(["a/b", "a/+", "#", "$SYS/x", "base64", "YQ==", 2.0, True, 3, ""])
    | st.lists(scalars, max_size=3)
    | st.dictionaries(st.sampled_from(["content_type", "user_properties", "x"]), scalars)
)
near_orders = st.dictionaries(
    st.sampled_from(
        ["topic", "payload", "qos", "retain", "encoding", "properties", "timeout", "other"]
    ),
    near_values,
)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(QUICK)), value=near_orders | near_values)
def test_a_quick_yes_is_a_yes(name: str, value: Any) -> None:
    """Whatever it is, a yes here is one of jsonschema's, too."""
    if QUICK[name](value):
        assert not list(CONTRACT._schemas[name].validator.iter_errors(value))


def test_usual_orders_get_a_quick_yes() -> None:
    """Else it would spare nothing."""
    assert QUICK["Publish"]({"topic": "a/b", "payload": {"deep": [1]}})
    assert QUICK["Publish"]({"topic": "a/b", "payload": "x", "qos": 1, "retain": True})
    assert QUICK["Publish"]({"topic": "a", "payload": "YQ==", "encoding": "base64"})
    assert QUICK["Publish"]({"topic": "a", "payload": 1, "properties": {"content_type": "x"}})
    assert QUICK["Subscribe"]({"topic": "a/#", "qos": 1})
    batch = CONTRACT._bodies["/publish/batch", "post"].quick
    assert batch({"messages": [1, "anything"]})
    assert not batch({"messages": []})
    assert not batch({"messages": [0] * 1001})


def test_a_list_is_as_long_and_holds_what_its_schema_says() -> None:
    """Also where any value, or none, is allowed in it."""
    some = {"type": "array", "minItems": 1, "maxItems": 2}
    for items, yes, no in (
        (True, [[1], ["a", 2]], [[], [1, 2, 3], "a"]),
        (False, [], [[1]]),
        ({"type": "integer"}, [[1, 2]], [[True], ["a"], [1, "a"]]),
    ):
        check = quick_yes({**some, "items": items}, lambda node: node, FORMATS)
        assert all(check(value) for value in yes)
        assert not any(check(value) for value in no)


def test_an_unknown_keyword_is_never_a_yes() -> None:
    """A rule that this file does not know is left to jsonschema."""
    for schema in (
        {"type": "string", "pattern": "a"},
        {"type": "string", "format": "unheard-of"},
        {"type": "object", "properties": {}},
        {"type": "object", "additionalProperties": False, "enum": []},
        {"type": "array", "uniqueItems": True},
        {"type": "array", "enum": []},
        {"oneOf": []},
    ):
        assert not quick_yes(schema, lambda node: node, FORMATS)("a")
        assert not quick_yes(schema, lambda node: node, FORMATS)({})
        assert not quick_yes(schema, lambda node: node, FORMATS)([])
