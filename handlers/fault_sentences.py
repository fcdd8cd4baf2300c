"""What is wrong with a body or a query, in plain words.

Answers for: turning the errors of a validator into faults, each with its place and a sentence.
Does not: validate (contract.py), or answer (problems.py).
"""

from __future__ import annotations

from typing import Any

from handlers.problems import Fault

# Faults that are told at once; who made more of them has not read the description.
MAX_FAULTS = 100


def faults_of(errors: list[Any]) -> list[Fault]:
    """Return each fault with the place in the body where it is, as a JSON pointer."""
    faults = []
    for error in errors:
        pointer = "".join(map(_step, error.absolute_path))
        if error.validator == "required":
            for name in error.validator_value:
                if name not in error.instance and repr(name) in error.message:
                    faults.append(Fault(pointer + _step(name), "is required"))
        elif error.validator == "additionalProperties":
            known = error.schema["properties"]
            for name in sorted(set(error.instance) - set(known))[:MAX_FAULTS]:
                allowed = ", ".join(sorted(known))
                faults.append(
                    Fault(pointer + _step(name), f"is not a field here; known are: {allowed}")
                )
        else:
            faults.append(Fault(pointer, sentence(error)))
    return sorted(faults, key=lambda fault: fault.path)


def _step(part: object) -> str:
    """Return one step of a JSON pointer (RFC 6901)."""
    return "/" + str(part).replace("~", "~0").replace("/", "~1")


def sentence(error: Any) -> str:
    """Return what one validation error means, in plain words."""
    limit = error.validator_value
    match error.validator:
        case "format":
            return str(error.cause)
        case "type":
            names = {
                "integer": "a whole number",
                "boolean": "true or false",
                "string": "a text",
                "object": "an object",
                "array": "a list",
                "number": "a number",
            }
            allowed = [limit] if isinstance(limit, str) else limit
            return "must be " + " or ".join(names.get(name, name) for name in allowed)
        case "minimum":
            return f"must be at least {limit}"
        case "maximum":
            return f"must be at most {limit}"
        case "enum":
            return "must be one of " + ", ".join(str(word) for word in limit)
        case "exclusiveMinimum":
            return f"must be more than {limit}"
        case "pattern":
            return "must look like " + ", ".join(error.schema.get("examples", (limit,)))
        case "minLength":
            return "must not be empty"
        case "maxLength":
            return f"must be at most {limit} characters"
        case "minItems":
            return f"must have at least {limit} entries"
        case "maxItems":
            return f"must have at most {limit} entries"
    return "is not what the API description asks for"
