"""The client of the GhostMesh MQTT API: publish, history and live streams.

    from client import MQTTAPIClient

    with MQTTAPIClient("http://localhost:8000") as client:
        client.publish("factory/line1/press1/temperature", 45.2, qos=1)
        for message in client.messages(topic="factory/#", since="24h"):
            print(message.timestamp, message.topic, message.payload)

Answers for: the names that programs may use. All else is internal.
"""

from client.async_client import AsyncMQTTAPIClient
from client.async_stream import AsyncMessageStream
from client.calls import Outgoing
from client.errors import (
    AuthenticationFailed,
    BrokerRefused,
    ConnectionFailed,
    Forbidden,
    Invalid,
    LogGap,
    MQTTAPIError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    ServiceFailed,
    Unavailable,
)
from client.export_file import Exported, ExportProgress
from client.retry import RetryPolicy
from client.sync_client import MQTTAPIClient
from client.sync_stream import MessageStream
from client.values import Gap, Message, Point, Reply, Series, Topic
from client.version import VERSION as __version__
from client.websocket_client import MQTTWebSocketClient

__all__ = [
    "AsyncMQTTAPIClient",
    "AsyncMessageStream",
    "AuthenticationFailed",
    "BrokerRefused",
    "ConnectionFailed",
    "ExportProgress",
    "Exported",
    "Forbidden",
    "Gap",
    "Invalid",
    "LogGap",
    "MQTTAPIClient",
    "MQTTAPIError",
    "MQTTWebSocketClient",
    "Message",
    "MessageStream",
    "NotFound",
    "OutcomeUnknown",
    "Outgoing",
    "Point",
    "RateLimited",
    "Refused",
    "Reply",
    "RetryPolicy",
    "Series",
    "ServiceFailed",
    "Topic",
    "Unavailable",
    "__version__",
]
