"""What can go wrong with the database, each with a sentence a person can act on."""


class StoreError(Exception):
    """Base of the errors below; str() is the sentence."""


class DatabaseRefused(StoreError):
    """The file cannot be used as configured: newer schema, read-only, not a directory."""


class DatabaseHeld(StoreError):
    """Another process has the file open."""


class HistoryUnavailable(StoreError):
    """The database cannot be written now: disk full, I/O error, locked by a stranger."""


class QueryTimeout(StoreError):
    """The question took longer than its time budget and was interrupted."""
