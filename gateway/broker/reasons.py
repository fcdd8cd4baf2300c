"""Why there is no connection to the broker, in words that say what to look at.

Answers for: turning what OpenSSL, the system and the broker say into one sentence. Does not:
act on it.
"""

from __future__ import annotations

import ssl

# Fragments of what OpenSSL says of a certificate, and what to do about each.
CERTIFICATE_ADVICE = (
    ("expired", "renew it, unless the clock of this machine is wrong"),
    ("not yet valid", "the clock of this machine, or that of whoever signed it, is wrong"),
    ("mismatch", "MQTT_BROKER_HOST must be a name or address that stands in it"),
)
UNKNOWN_AUTHORITY = "MQTT_TLS_CA must be the file of the authority that signed it"
NO_TLS_HERE = "no TLS is spoken at this port: MQTT_BROKER_PORT is usually 8883 with TLS"
OURS_IS_WANTED = "the broker wants a certificate of ours: MQTT_TLS_CERT and MQTT_TLS_KEY"
OURS_IS_REFUSED = "the broker does not accept our certificate (MQTT_TLS_CERT)"
REFUSED_CREDENTIALS = ("not authorized", "not authorised", "bad user name or password")


def connecting_failed(error: OSError | ValueError) -> str:
    """Return why an attempt to connect failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said, advice = error.verify_message.rstrip("."), certificate_advice(error)
        return f"the broker's certificate is not accepted: {said}; {advice}"
    if isinstance(error, ssl.SSLError):
        return tls_failed(error)
    return getattr(error, "strerror", None) or str(error) or "timed out"


def certificate_advice(error: ssl.SSLCertVerificationError) -> str:
    """Return what to do about a broker's certificate that is not accepted."""
    for fragment, advice in CERTIFICATE_ADVICE:
        if fragment in error.verify_message:
            return advice
    return UNKNOWN_AUTHORITY


def tls_failed(error: ssl.SSLError) -> str:
    """Return what went wrong with TLS otherwise."""
    reason = (error.reason or "the connection was closed").replace("_", " ").lower()
    if "wrong version" in reason or "record layer" in reason:
        return NO_TLS_HERE
    if "certificate required" in reason:
        return OURS_IS_WANTED
    if "unknown ca" in reason or "bad certificate" in reason or "certificate unknown" in reason:
        return OURS_IS_REFUSED
    return f"TLS failed: {reason}"


def login_refused(said: str) -> str:
    """Return that the broker let us not in, with its reason."""
    advice = ""
    if said.lower() in REFUSED_CREDENTIALS:
        advice = "; are MQTT_USERNAME and MQTT_PASSWORD right?"
    return f"the broker refused the connection: {said}{advice}"
