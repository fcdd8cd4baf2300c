"""What can go wrong with the database, each with a sentence a person can act on."""


class StoreError(Exception):
    """Base of the errors below; str() is the sentence."""


class DatabaseRefused(StoreError):
    """The file cannot be used as configured: newer schema, read-only, not a directory."""


class DatabaseDamaged(DatabaseRefused):
    """What is in the file is no database, or only a part of one."""


class DatabaseUnready(StoreError):
    """The file cannot be opened now, but perhaps later: held, disk full, I/O error."""


class DatabaseHeld(DatabaseUnready):
    """Another process has the file open."""


class HistoryUnavailable(StoreError):
    """The database cannot be used now. `cause` is one word, for counters.

    The sentence is for callers, too; `in_full` adds what SQLite said, for the log alone.
    """

    def __init__(self, sentence: str, cause: str = "other", said: str = "") -> None:
        super().__init__(sentence)
        self.cause = cause
        self.said = said

    @property
    def in_full(self) -> str:
        """The sentence with what SQLite said."""
        return f"{self} ({self.said})" if self.said else str(self)


class HistoryDamaged(HistoryUnavailable):
    """What is in the file is no database any more, or the file is gone."""

    def __init__(self, said: str) -> None:
        super().__init__("the history is damaged; a new one is about to be begun", "damaged", said)


class QueryTimeout(StoreError):
    """The question took longer than its time budget and was interrupted."""
