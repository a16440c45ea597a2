"""Errors of the store, besides those of PostgreSQL.

WideStoreError
├── NoLayout            the view has no table: run `feast apply` with this store
├── LayoutChanged       the table has changed since its layout was read; the store reads it again
├── TooManyColumns      more features than a PostgreSQL table can hold
├── InvalidValue        a value that its column cannot hold
└── Unsupported         a part of Feast's interface that this store does not implement

Unreachable is a psycopg.OperationalError, so that code which handles a server that is down handles it too.
"""

from psycopg import OperationalError
from psycopg import errors as pg


class WideStoreError(Exception):
    """The base class."""


class NoLayout(WideStoreError):
    """The feature view has no table."""


class LayoutChanged(WideStoreError):
    """The table has changed since its layout was read."""


class TooManyColumns(WideStoreError):
    """The feature view is wider than a table can be."""


class InvalidValue(WideStoreError, ValueError):
    """The value is of another type than declared, or out of the range of its column."""


class Unsupported(WideStoreError, NotImplementedError):
    """The store does not implement this part of Feast's interface."""


class Unreachable(OperationalError):
    """No connection could be made, or none became free, within the timeout."""


LAYOUT_ERRORS = (
    LayoutChanged,
    pg.UndefinedColumn,
    pg.UndefinedTable,
    pg.UndefinedFunction,
    pg.DatatypeMismatch,
    pg.FeatureNotSupported,  # "cached plan must not change result type"
)
"""What a statement written for an old layout can raise."""
