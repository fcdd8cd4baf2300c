"""What can go wrong with an order given to the broker, each with a sentence a caller can act on."""


class BrokerError(Exception):
    """Base of the errors below; str() is the sentence."""


class BrokerAway(BrokerError):
    """There is no connection, or no room on it; nothing was sent."""


class BrokerRefused(BrokerError):
    """The broker said no, or dropped the connection over it; the sentence has its reason."""


class PublishUnconfirmed(BrokerError):
    """No answer in time: the outcome is unknown."""


class PublishTooLarge(BrokerError):
    """Larger than the packets that the broker takes."""


class PropertiesUnsupported(BrokerError):
    """MQTT 5 properties on a 3.1.1 connection."""
