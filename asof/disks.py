"""Whether an error says that a disk takes nothing more: systems, PostgreSQL and SQLite have words for it."""

WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system", "database or disk is full")


def is_disk_trouble(error: object) -> bool:
    """By the words of the error, through whichever library it came."""
    return any(words in str(error) for words in WORDS)
