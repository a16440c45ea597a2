"""How much a batch may hold."""

from asof.errors import TooManyInstances

MOST = 10_000
"""Instances of one batch."""
MOST_BYTES = 16 * 2**20
"""Ten thousand instances of thirty named numbers in JSON are 12 MB."""


def too_many(count: int) -> TooManyInstances:
    """The refusal of so many instances."""
    text = f"The batch holds {count} instances: send at most {MOST} at once."
    return TooManyInstances(text, limit=MOST, instances=count)
