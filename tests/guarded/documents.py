"""The published documents as judges of what the service answers and sends."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema

from handlers.contract import METHODS
from tests.guarded.asking import PROBLEM
from tests.service_process import ROOT, Answer

PROBLEM_FIELDS = {"type", "title", "status", "detail", "request_id"}
# Nothing internal may ever show in an error.
INTERNAL = re.compile(
    r"Traceback|\.py\b|sqlite|SELECT |/tmp/|site-packages|paho|" + re.escape(f"{ROOT}/"), re.I
)


def closed(schema: Any) -> Any:
    """Return the schema such that it takes no member that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(one) for name, one in schema.items()}
    if isinstance(found.get("properties"), dict) and "additionalProperties" not in found:
        found["unevaluatedProperties"] = False
    return found


class OpenApiJudge:
    """Holds answers against the OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._components = {
            "schemas": {
                name: closed(schema)
                for name, schema in copy.deepcopy(document["components"]["schemas"]).items()
            }
        }
        self.problem = self._validator({"$ref": "#/components/schemas/Problem"})

    def _validator(self, schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
        whole = {**closed(schema), "components": self._components}
        return jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Return (method, path, operation), methods in upper case."""
        return [
            (method.upper(), path, item[method])
            for path, item in self.document["paths"].items()
            for method in METHODS
            if method in item
        ]

    def resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        """Follow a reference into the document."""
        while "$ref" in node:
            found: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Return what is wrong with a value, by a schema that may refer to components."""
        return [str(error) for error in self._validator(schema).iter_errors(value)]

    def check_problem(self, answer: Answer) -> None:
        """Check that an error is a problem document that shows nothing internal."""
        assert answer.headers["Content-Type"] == PROBLEM, (answer.status, answer.content[:300])
        document = answer.json()
        self.problem.validate(document)
        assert document["status"] == answer.status
        assert document["request_id"] == answer.headers["X-Request-Id"]
        assert answer.status != 422 or document["errors"]
        assert not INTERNAL.search(document["detail"]), document

    def check(self, method: str, path: str, answer: Answer) -> None:
        """Check an answer of an operation: status, type and content are as declared."""
        operation = self.document["paths"][path][method.lower()]
        status = str(answer.status)
        assert status in operation["responses"], f"{method} {path}: {status} is not declared"
        assert answer.headers["X-Request-Id"]
        declared = self.resolve(operation["responses"][status])
        kind = (answer.headers["Content-Type"] or "").partition(";")[0]
        content = declared.get("content", {})
        if not content:
            assert not answer.content, f"{method} {path}: {status} is declared without a body"
            return
        assert kind in content or "*/*" in content, f"{method} {path}: {status} is {kind}"
        if kind == PROBLEM:
            self.check_problem(answer)
        elif kind == "application/json":
            found = self.faults(content[kind]["schema"], json.loads(answer.content))
            assert not found, f"{method} {path}: {status}: {found[0]}"


class AsyncApiJudge:
    """Holds frames against the AsyncAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[tuple[str, str]] = set()

    def messages_of(self, channel: str) -> set[str]:
        """Return the types that a channel may send."""
        operation = {"ws": "followWebSocket", "events": "followEvents"}[channel]
        listed = self.document["operations"][operation]["messages"]
        return {reference["$ref"].rpartition("/")[2] for reference in listed}

    def faults(self, name: str, value: Any) -> list[str]:
        """Return what is wrong with a frame or command."""
        payload = self.document["components"]["messages"][name]["payload"]
        whole = {
            **payload,
            "unevaluatedProperties": False,
            "components": self.document["components"],
        }
        validator = jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        return [str(error) for error in validator.iter_errors(value)]

    def check(self, channel: str, frame: dict[str, Any]) -> None:
        """Check a frame that came over a channel."""
        kind = frame["type"]
        assert kind in self.messages_of(channel), f"{kind} is not declared on {channel}"
        found = self.faults(kind, frame)
        assert not found, f"{channel}: {found[0]}"
        self.seen.add((channel, kind))
