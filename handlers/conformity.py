"""A quick yes: values that surely are what a schema asks for.

Answers for: sparing jsonschema the common case, a fifth of the time that a publish would take
(docs/decisions/0016-orders-at-once.md). Does not: say no, or why; what gets no yes here is checked
by jsonschema, which alone decides. A keyword that is unknown here costs time, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]
Resolve = Callable[[dict[str, Any]], dict[str, Any]]
Formats = Mapping[str, Callable[[str], object]]

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}
_SCALAR_RULES = {"type", "enum", "format", "minimum", "maximum", "maxLength"}
_OBJECT_RULES = {"type", "properties", "required", "additionalProperties"}
_ARRAY_RULES = {"type", "items", "minItems", "maxItems"}


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
    if kind == "object" and rules <= _OBJECT_RULES:
        return _object(schema, resolve, formats)
    if kind == "array" and rules <= _ARRAY_RULES:
        return _array(schema, resolve, formats)
    if isinstance(kind, str) and kind in _TYPES and rules <= _SCALAR_RULES:
        return _scalar(schema, _TYPES[kind], formats)
    return _never


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
        for name, part in value.items():  # noqa: SIM110 - no generator for each value
            if not checks.get(name, _never)(part):
                return False
        return True

    return conforms


def _array(schema: dict[str, Any], resolve: Resolve, formats: Formats) -> Check:
    low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    items = schema.get("items", True)
    check: Check = _anything if items is True else _never  # schemas, too: anything, nothing
    if not isinstance(items, bool):
        check = quick_yes(items, resolve, formats)

    def conforms(value: Any) -> bool:
        if type(value) is not list or not low <= len(value) <= high:
            return False
        return check is _anything or all(check(part) for part in value)

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
