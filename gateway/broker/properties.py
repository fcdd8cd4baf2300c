"""MQTT 5 properties between paho's attributes and our JSON names.

Answers for: the names of contract section 2. Does not: import paho; it is handed its objects.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from store.message import compact_json, decode_base64

# Our name -> paho's attribute. Correlation data is bytes and user properties are pairs: below.
_PLAIN = {
    "content_type": "ContentType",
    "response_topic": "ResponseTopic",
    "message_expiry_interval": "MessageExpiryInterval",
    "payload_format_indicator": "PayloadFormatIndicator",
}


def read_properties(properties: Any) -> str | None:
    """Return the properties of a received PUBLISH as compact JSON, or None when it has none."""
    found: dict[str, Any] = {}
    for name, attribute in _PLAIN.items():
        value = getattr(properties, attribute, None)
        if value is not None:
            found[name] = value
    correlation = getattr(properties, "CorrelationData", None)
    if correlation is not None:
        found["correlation_data"] = base64.b64encode(correlation).decode("ascii")
    pairs = getattr(properties, "UserProperty", None)
    if pairs:
        found["user_properties"] = [list(pair) for pair in pairs]
    return compact_json(found) if found else None


def write_properties(given: Mapping[str, Any], properties: Any) -> Any:
    """Set the given values (already valid) on paho's object, and return it."""
    for name, attribute in _PLAIN.items():
        if name in given:
            setattr(properties, attribute, given[name])
    if "correlation_data" in given:
        properties.CorrelationData = decode_base64(given["correlation_data"])
    if given.get("user_properties"):
        properties.UserProperty = [(name, value) for name, value in given["user_properties"]]
    return properties
