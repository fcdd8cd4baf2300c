"""The version of this package; the packaging reads it here."""

VERSION = "1.0.0"
