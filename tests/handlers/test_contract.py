"""The validators compiled from the OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from handlers.contract import METHODS, Contract, load_document
from handlers.problems import Fault, Problem

SCOPES = {"public", "any", "read", "publish", "subscribe", "admin"}


def parameter(name: str, **schema: Any) -> dict[str, Any]:
    """Return a query parameter."""
    return {"name": name, "in": "query", "schema": schema}


SMALL: dict[str, Any] = {
    "info": {"title": "small"},
    "components": {
        "schemas": {},
        "parameters": {"at": parameter("at", type="string", format="position")},
    },
    "paths": {
        "/things": {
            "get": {
                "x-scope": "read",
                "parameters": [
                    {"$ref": "#/components/parameters/at"},
                    parameter("limit", type="integer", minimum=1, maximum=10, default=5),
                    parameter("flag", type="boolean"),
                    parameter("since", type="string", format="moment"),
                    parameter(
                        "topic",
                        type="array",
                        items={"type": "string", "format": "topic-filter"},
                        maxItems=2,
                    ),
                    parameter("word", type="string", enum=["one", "two"]),
                ],
            }
        }
    },
}


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The contract as shipped."""
    return Contract(load_document(), "1.2.3")


def faults(contract: Contract, query: str) -> list[Fault]:
    """Return what is wrong with a query of the small document."""
    with pytest.raises(Problem) as caught:
        contract.query("/things", "GET", query)
    assert caught.value.status == 422
    return caught.value.faults


def test_a_query_becomes_typed_values_with_defaults() -> None:
    """Numbers, flags and lists come as such; only what has a default is filled in."""
    small = Contract(SMALL, "1")
    assert small.query("/things", "GET", "") == {"limit": 5}
    query = "limit=10&flag=true&topic=a/%23&topic=b&at=k.7&since=15m&word=two"
    assert small.query("/things", "get", query) == {
        "limit": 10,
        "flag": True,
        "topic": ["a/#", "b"],
        "at": "k.7",
        "since": "15m",
        "word": "two",
    }
    assert small.query("/things", "GET", "flag=false&topic=a") == {
        "limit": 5,
        "flag": False,
        "topic": ["a"],
    }


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        ("limit=0", "limit", "must be at least 1"),
        ("limit=11", "limit", "must be at most 10"),
        ("limit=ten", "limit", "must be a whole number"),
        ("limit=1.0", "limit", "must be a whole number"),
        ("limit=", "limit", "must be a whole number"),
        (f"limit={'9' * 5000}", "limit", "must be a whole number"),
        ("limit=1&limit=2", "limit", "may be given only once"),
        ("flag=yes", "flag", "must be true or false"),
        ("topic=a/%23/b", "topic", "may have # only as the whole last level"),
        ("topic=$share/g/a", "topic", "must not be a shared subscription ($share/...)"),
        ("topic=a&topic=b&topic=c", "topic", "must have at most 2 entries"),
        ("at=x", "at", "must be a position: <epoch>.<id>, or a whole number"),
        ("word=three", "word", "must be one of one, two"),
        ("at=", "at", "must be a position: <epoch>.<id>, or a whole number"),
    ],
)
def test_a_wrong_value_is_named_in_plain_words(query: str, name: str, message: str) -> None:
    """The fault has the parameter's name and a sentence."""
    assert faults(Contract(SMALL, "1"), query) == [Fault(name, message)]


def test_every_fault_is_named_at_once() -> None:
    """Unknown parameters are faults, too, and nothing hides behind the first fault."""
    found = faults(Contract(SMALL, "1"), "limt=5&limit=0&flag=1&since=never")
    assert [fault.path for fault in found] == ["limt", "limit", "flag", "since"]
    known = "at, flag, limit, since, topic, word"
    assert found[0].message == f"is not a parameter here; known are: {known}"


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b"{}", ["/payload", "/topic"]),
        (b'{"topic": "a"}', ["/payload"]),
        (b"[]", [""]),
        (b'{"topic": "a/+", "payload": ""}', ["/topic"]),
        (b'{"topic": "$SYS/a", "payload": ""}', ["/topic"]),
        (b'{"topic": 1, "payload": ""}', ["/topic"]),
        (b'{"topic": "a", "payload": "", "qos": 3}', ["/qos"]),
        (b'{"topic": "a", "payload": "", "qos": 1.5}', ["/qos"]),
        (b'{"topic": "a", "payload": "", "qos": true}', ["/qos"]),
        (b'{"topic": "a", "payload": "", "retain": "yes"}', ["/retain"]),
        (b'{"topic": "a", "payload": "", "encoding": "hex"}', ["/encoding"]),
        (b'{"topic": "a", "payload": "", "a~b/c": 1}', ["/a~b/c"]),
        (b'{"topic": "", "qos": 9, "retian": true}', ["/payload", "/qos", "/retian", "/topic"]),
    ],
)
def test_every_fault_of_a_body_is_named_by_a_pointer(
    contract: Contract, body: bytes, paths: list[str]
) -> None:
    """A publish that is wrong in several ways is told all of them, by JSON pointers."""
    with pytest.raises(Problem) as caught:
        contract.body("/publish", "POST", body)
    assert caught.value.status == 422
    pointers = [path.replace("~b/c", "~0b~1c") for path in paths]
    assert [fault.path for fault in caught.value.faults] == pointers
    assert caught.value.document("id")["errors"] == [
        {"path": fault.path, "message": fault.message} for fault in caught.value.faults
    ]


@pytest.mark.parametrize(
    "payload", [b'"45.2"', b"45.2", b"null", b"true", b'{"a": [1]}', b'"\\u0000"', b'""']
)
def test_any_json_value_may_be_published(contract: Contract, payload: bytes) -> None:
    """A payload is a text or any other JSON value."""
    body = b'{"topic": "a/b", "qos": 2, "retain": true, "payload": ' + payload + b"}"
    assert contract.body("/publish", "POST", body)["topic"] == "a/b"


def test_every_operation_has_a_scope(contract: Contract) -> None:
    """Nothing in the document is left neither guarded nor public."""
    for path, item in contract.document["paths"].items():
        for method in METHODS:
            if method in item:
                assert contract.scope(path, method.upper()) in SCOPES, (path, method)


def test_the_document_is_openapi_with_valid_schemas(contract: Contract) -> None:
    """It carries the running version, every reference leads somewhere, every schema is one."""
    assert contract.document["openapi"].startswith("3.1")
    assert contract.document["info"]["version"] == "1.2.3"
    references: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                references.append(node["$ref"])
            for inner in node.values():
                walk(inner)
        elif isinstance(node, list):
            for inner in node:
                walk(inner)

    walk(contract.document)
    assert references
    for reference in references:
        assert contract._resolve({"$ref": reference}) is not None
    for schema in contract.document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_methods_are_those_of_the_document() -> None:
    """`Allow` names them with OPTIONS, and HEAD beside GET."""
    assert Contract(SMALL, "1").methods("/things") == ["GET", "HEAD", "OPTIONS"]


def test_a_part_of_the_path_is_checked_like_a_parameter(contract: Contract) -> None:
    """A topic in the path obeys the one rule for topics."""
    assert contract.check_text("topic", "a/+", "topic-filter") == "a/+"
    with pytest.raises(Problem) as caught:
        contract.check_text("topic", "a#", "topic-filter")
    assert caught.value.faults == [Fault("topic", "may have # only as the whole last level")]


def test_what_is_far_too_much_is_not_read_entry_by_entry(contract: Contract) -> None:
    """A list that is too long is one fault, whatever its entries are, and no more than a hundred
    faults are told: a megabyte of either held everybody up for half a minute."""

    def told(order: dict[str, Any]) -> list[Fault]:
        with pytest.raises(Problem) as caught:
            contract.check_schema("Publish", {"topic": "a", "payload": 1, **order})
        return caught.value.faults

    pairs = {"user_properties": [["only one"]] * 1_000}
    assert told({"properties": pairs}) == [
        Fault("/properties/user_properties", "must have at most 100 entries")
    ]
    assert len(told({"properties": {"user_properties": [["only one"]] * 100}})) == 100
    assert len(told({f"x{number}": number for number in range(1_000)})) == 100
