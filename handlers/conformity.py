"""A quick yes: values that surely are what a schema asks for.

Answers for: sparing jsonschema the common case, a fifth of the time that a publish would take
(docs/decisions/0016-orders-at-once.md). Does not: say no, or why; what gets no yes here is checked
by jsonschema, which alone decides. A keyword that is unknown here costs time, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]
Resolve = Callable[[dict[str, Any]], dict[str, Any]]
Formats = Mapping[str, Callable[[str], object]]

_KNOWN = {
    *("type", "properties", "required", "additionalProperties", "enum", "format"),
    *("minimum", "maximum", "maxLength", "description", "default"),
}
_TYPES: dict[str, type] = {"object": dict, "string": str, "integer": int, "boolean": bool}


def _anything(_value: object) -> bool:
    return True


def _never(_value: object) -> bool:
    return False


def quick_yes(schema: dict[str, Any], resolve: Resolve, formats: Formats) -> Check:
    """Compile a schema into a function that is true only for values that conform to it."""
    schema = resolve(schema)
    rules = schema.keys() - {"description", "default"}
    if not rules:
        return _anything
    kind = schema.get("type")
    if not rules <= _KNOWN or not isinstance(kind, str) or kind not in _TYPES:
        return _never
    if kind == "object":
        return _object(schema, resolve, formats)
    return _scalar(schema, _TYPES[kind], formats)


def _object(schema: dict[str, Any], resolve: Resolve, formats: Formats) -> Check:
    if schema.get("additionalProperties") is not False:
        return _never
    required = frozenset(schema.get("required", ()))
    checks = {
        name: quick_yes(part, resolve, formats)
        for name, part in schema.get("properties", {}).items()
    }

    def conforms(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys():
            return False
        return all(checks.get(name, _never)(part) for name, part in value.items())

    return conforms


def _scalar(schema: dict[str, Any], kind: type, formats: Formats) -> Check:
    low, high = schema.get("minimum"), schema.get("maximum")
    longest, allowed = schema.get("maxLength"), schema.get("enum")
    check_format = formats.get(schema["format"]) if "format" in schema else None
    if "format" in schema and check_format is None:
        return _never

    def conforms(value: Any) -> bool:
        given: Any = type(value)  # not isinstance: True is no whole number
        if (
            given is not kind
            or (low is not None and value < low)
            or (high is not None and value > high)
            or (longest is not None and len(value) > longest)
            or (allowed is not None and value not in allowed)
        ):
            return False
        if check_format is not None:
            try:
                check_format(value)
            except ValueError:
                return False
        return True

    return conforms
