"""What can go wrong with the database, each with a sentence a person can act on."""


class StoreError(Exception):
    """Base of the errors below; str() is the sentence."""


class DatabaseRefused(StoreError):
    """The file cannot be used as configured: newer schema, read-only, not a directory."""


class DatabaseUnready(StoreError):
    """The file cannot be opened now, but perhaps later: held, disk full, I/O error."""


class DatabaseHeld(DatabaseUnready):
    """Another process has the file open."""


class HistoryUnavailable(StoreError):
    """The database cannot be used now. `cause` is one word, for counters."""

    def __init__(self, sentence: str, cause: str = "other") -> None:
        super().__init__(sentence)
        self.cause = cause


class HistoryDamaged(HistoryUnavailable):
    """What is in the file is no database any more, or the file is gone."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, "damaged")


class QueryTimeout(StoreError):
    """The question took longer than its time budget and was interrupted."""
