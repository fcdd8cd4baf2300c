"""The OpenAPI document, and the validators compiled from it.

Answers for: what a body and a query may be, with every fault at once, and which scope guards
which operation. Does not: hold a rule of its own; openapi.json is where the contract is written.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jsonschema

from handlers.conformity import Check, quick_yes
from handlers.fault_sentences import MAX_FAULTS, faults_of
from handlers.parsing import InvalidMoment, parse_json, parse_moment
from handlers.problems import Fault, unprocessable
from handlers.queries import Queries
from store.message import InvalidPayload, decode_base64
from store.selection import InvalidPosition, parse_position
from store.topics import InvalidTopic, check_filter, check_name, check_publish_name, check_text

METHODS = ("get", "post", "put", "patch", "delete")

# Formats that the document names and this program knows: each raises its own sentence.
_FORMATS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "topic-name": (check_name, InvalidTopic),
    "publish-topic": (check_publish_name, InvalidTopic),
    "topic-filter": (check_filter, InvalidTopic),
    "position": (parse_position, InvalidPosition),
    "moment": (lambda text: parse_moment(text, 0), InvalidMoment),
    "moment-or-all": (lambda text: text == "all" or parse_moment(text, 0), InvalidMoment),
    "mqtt-text": (check_text, InvalidTopic),
    "base64": (decode_base64, InvalidPayload),
}


def load_document(name: str = "openapi.json") -> dict[str, Any]:
    """Return the OpenAPI or AsyncAPI document as shipped."""
    text = resources.files("handlers").joinpath(name).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


class _Compiled(NamedTuple):
    """A schema as two questions: the quick one, and the one that knows why not."""

    quick: Check
    validator: jsonschema.Draft202012Validator


class Contract:
    """The compiled document. Made once at the start; lives on the event loop."""

    def __init__(self, document: dict[str, Any], version: str, root_path: str = "") -> None:
        self.document = {**document, "info": {**document["info"], "version": version}}
        if root_path:
            self.document["servers"] = [{**document["servers"][0], "url": root_path}]
        streams = load_document("asyncapi.json")
        self.streams = {**streams, "info": {**streams["info"], "version": version}}
        """The AsyncAPI document: the frames of /ws and /events."""
        if root_path:
            self.streams["channels"] = {
                name: {**channel, "address": root_path + channel["address"]}
                for name, channel in streams["channels"].items()
            }
        self._formats = jsonschema.FormatChecker(formats=())
        for name, (check, error) in _FORMATS.items():
            self._formats.checks(name, raises=error)(_as_format(check))
        self._bodies: dict[tuple[str, str], _Compiled] = {}
        self._queries: dict[tuple[str, str], Queries] = {}
        self._methods: dict[str, Sequence[str]] = {}
        self._schemas = {
            name: self._compiled(schema)
            for name, schema in document["components"]["schemas"].items()
        }
        for path, item in document["paths"].items():
            named = [method for method in METHODS if method in item]
            for method in named:
                self._compile(path, method, item[method])
            more = ["OPTIONS", *(["HEAD"] if "get" in named else [])]
            self._methods[path] = sorted([*map(str.upper, named), *more])

    def _compile(self, path: str, method: str, operation: dict[str, Any]) -> None:
        body = operation.get("requestBody")
        if body:
            schema = body["content"]["application/json"]["schema"]
            self._bodies[path, method] = self._compiled(schema)
        parameters = {}
        required = set()
        for given in operation.get("parameters", ()):
            parameter = self._resolve(given)
            if parameter["in"] == "query":
                schema = self._resolve(parameter["schema"])
                parameters[parameter["name"]] = (schema, self._validator(schema))
                if parameter.get("required"):
                    required.add(parameter["name"])
        self._queries[path, method] = Queries(parameters, required)

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def _validator(self, schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
        whole = {**schema, "components": self.document["components"]}
        return _Validator(whole, format_checker=self._formats)

    def _compiled(self, schema: dict[str, Any]) -> _Compiled:
        formats = {name: check for name, (check, _) in _FORMATS.items()}
        return _Compiled(quick_yes(schema, self._resolve, formats), self._validator(schema))

    def methods(self, path: str) -> Sequence[str]:
        """Return the methods of a path template, upper case, as `Allow` has them."""
        return self._methods[path]

    def scope(self, path: str, method: str) -> str:
        """Return the scope that guards an operation, or `public`. KeyError when it has neither."""
        scope: str = self.document["paths"][path][method.lower()]["x-scope"]
        return scope

    def body(self, path: str, method: str, content: bytes) -> Any:
        """Parse and check a body; a Problem 422 names every fault."""
        value = parse_json(content)
        self.check_body(path, method, value)
        return value

    def check_body(self, path: str, method: str, value: Any) -> None:
        """Check a parsed body; a Problem 422 names every fault."""
        self._check(self._bodies[path, method.lower()], value)

    def check_schema(self, name: str, value: Any) -> None:
        """Check a value against a named schema; a Problem 422 names every fault."""
        self._check(self._schemas[name], value)

    @staticmethod
    def _check(compiled: _Compiled, value: Any) -> None:
        if compiled.quick(value):
            return
        try:
            errors = list(itertools.islice(compiled.validator.iter_errors(value), MAX_FAULTS))
        except RecursionError:
            raise unprocessable([Fault("", "is nested too deeply")]) from None
        if errors:
            raise unprocessable(faults_of(errors)[:MAX_FAULTS])

    def query(self, path: str, method: str, query: str) -> dict[str, Any]:
        """Parse and check a query; defaults filled in. A Problem 422 names every fault."""
        return self._queries[path, method.lower()].values(query)

    def check_text(self, where: str, text: str, format_name: str) -> str:
        """Check a part of the path against a format; a Problem 422 says what is wrong."""
        check, error_type = _FORMATS[format_name]
        try:
            check(text)
        except error_type as error:
            raise unprocessable([Fault(where, str(error))]) from None
        return text


def _pattern(_validator: Any, pattern: str, value: object, _schema: Any) -> Iterator[Exception]:
    """Check a pattern as JSON Schema means it: `$` is the very end, not before a line feed."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield jsonschema.ValidationError("does not match the pattern")


def _items(validator: Any, items: Any, value: object, schema: Any) -> Iterator[Exception]:
    """Check each entry of a list, unless it is too long anyway: a megabyte of entries, each one
    checked, held everybody up for half a minute."""
    if isinstance(value, list) and len(value) <= schema.get("maxItems", len(value)):
        yield from _CHECK_ITEMS(validator, items, value, schema)


_CHECK_ITEMS = jsonschema.Draft202012Validator.VALIDATORS["items"]


def _is_integer(_checker: Any, value: object) -> bool:
    """Tell a whole number as it must be written here: 2.0 would not do in an MQTT packet."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern, "items": _items},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def _as_format(check: Callable[[str], object]) -> Callable[[object], bool]:
    def conforms(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return conforms
