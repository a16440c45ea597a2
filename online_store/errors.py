"""What can go wrong in the store, beside what PostgreSQL itself says.

WideStoreError
├── NoLayout            the view has no table: nobody has run `feast apply` with this store
├── LayoutMoved         the table has changed since its layout was read: read it again
├── TooManyColumns      more features than a table of PostgreSQL can hold
├── UnfitValue          a value that its column cannot hold
└── NotOffered          what this store leaves to others

Unreachable is no child of it, but of psycopg.OperationalError: whoever handles a server that is away, handles it as
well.
"""

from psycopg import OperationalError


class WideStoreError(Exception):
    """The root: says the thing and the next step."""


class NoLayout(WideStoreError):
    """A feature view without a table."""


class LayoutMoved(WideStoreError):
    """The table is not as it was when its layout was read. The store itself reads it again, once."""


class TooManyColumns(WideStoreError):
    """A feature view wider than a table can be."""


class UnfitValue(WideStoreError, ValueError):
    """A value of another kind than declared, or one that the column's type cannot hold."""


class NotOffered(WideStoreError, NotImplementedError):
    """A part of Feast's interface that this store does not have."""


class Unreachable(OperationalError):
    """No connection was to be had, for as long as a caller is willing to wait."""
