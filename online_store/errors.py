"""Errors of the store, besides those of PostgreSQL."""

from psycopg import OperationalError
from psycopg import errors as pg


class WideStoreError(Exception):
    """The base class of all but Unreachable."""


class NoLayout(WideStoreError):
    """The feature view has no table: run `feast apply` with this store."""


class LayoutChanged(WideStoreError):
    """The table has changed since its layout was read; the store reads it again."""


class TooManyColumns(WideStoreError):
    """The feature view is wider than a PostgreSQL table can be."""


class InvalidValue(WideStoreError, ValueError):
    """The value is of another type than declared, or out of the range of its column."""


class Unsupported(WideStoreError, NotImplementedError):
    """The store does not implement this part of Feast's interface."""


class Unreachable(OperationalError):
    """No connection could be made, or none became free, within the timeout; handled as a server that is down."""


LAYOUT_ERRORS = (
    LayoutChanged,
    pg.UndefinedColumn,
    pg.UndefinedTable,
    pg.UndefinedFunction,
    pg.DatatypeMismatch,
    pg.FeatureNotSupported,  # "cached plan must not change result type"
)
"""What a statement written for an old layout can raise."""
