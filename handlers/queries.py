"""The queries of one operation: text into checked values, or every fault at once.

Answers for: unknown, doubled and missing parameters, types and defaults, and not doing it all again
for a query that was right before. Does not: hold a rule; the contract hands in its validators.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from handlers.fault_sentences import MAX_FAULTS, sentence
from handlers.parsing import parse_query
from handlers.problems import Fault, unprocessable

# Programs ask the same again and again. So many queries that were right are remembered, of so many
# characters, before the memory starts afresh: 0.3 MB for an operation at most.
MEMORY = 100
MEMORY_LENGTH = 300
# A ticket is for one use: neither worth remembering nor to lie about.
SECRETS = frozenset({"ticket"})
_INTEGER = re.compile(r"-?\d{1,18}")


class Queries:
    """Reads the queries of one operation. Lives on the event loop.

    `parameters` are its parameters, each with its schema and a compiled validator.
    """

    def __init__(
        self, parameters: Mapping[str, tuple[dict[str, Any], Any]], required: set[str]
    ) -> None:
        self._parameters = parameters
        self._required = required
        self._known: dict[str, dict[str, Any]] = {}

    def values(self, query: str) -> dict[str, Any]:
        """Parse and check a query; defaults filled in. A Problem 422 names every fault.

        The dictionary is the caller's own, the lists in it are not.
        """
        values = self._known.get(query)
        if values is None:
            values = self._checked(query)
            if len(query) <= MEMORY_LENGTH and SECRETS.isdisjoint(values):
                if len(self._known) >= MEMORY:
                    self._known.clear()
                self._known[query] = values
        return dict(values)

    def _checked(self, query: str) -> dict[str, Any]:
        parameters = self._parameters
        given: dict[str, list[str]] = {}
        faults: list[Fault] = []
        known = ", ".join(sorted(parameters)) or "none"
        for name, text in parse_query(query):
            if name in parameters:
                given.setdefault(name, []).append(text)
            elif len(faults) < MAX_FAULTS:
                faults.append(Fault(name, f"is not a parameter here; known are: {known}"))
        values: dict[str, Any] = {
            name: schema["default"]
            for name, (schema, _) in parameters.items()
            if "default" in schema
        }
        for name, texts in given.items():
            schema, validator = parameters[name]
            if schema["type"] != "array" and len(texts) > 1:
                faults.append(Fault(name, "may be given only once"))
                continue
            value = (
                [_typed(text, schema["items"]) for text in texts]
                if schema["type"] == "array"
                else _typed(texts[0], schema)
            )
            faults += [Fault(name, sentence(error)) for error in validator.iter_errors(value)]
            values[name] = value
        faults += [Fault(name, "is required") for name in sorted(self._required - given.keys())]
        if faults:
            raise unprocessable(faults[:MAX_FAULTS])
        return values


def _typed(text: str, schema: Mapping[str, Any]) -> Any:
    """Return the text as the type the schema asks for, or as it is: then validation fails."""
    kind = schema.get("type")
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return text
    return text
