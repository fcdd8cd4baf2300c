"""How many of what, as a sentence has it."""


def counted(count: int, thing: str) -> str:
    """Return the number with the thing after it, in the plural but for one: `1,042 messages`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
