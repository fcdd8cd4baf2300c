"""The message path: from the broker to the history and on to whoever listens. No HTTP, no SQL."""
