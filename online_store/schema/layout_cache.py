"""The layouts that this process has read.

A layout here may be outdated: the tables report that (LAYOUT_ERRORS), and the caller forgets the view and reads again.
"""

from typing import Any

from psycopg import Connection

from online_store.schema.layout import Layout, read_layout

ViewKey = tuple[str, str, str]
"""Schema, project and view."""


class LayoutCache:
    """Needs no lock: each step is one operation of a dictionary."""

    def __init__(self) -> None:
        self._layouts: dict[ViewKey, Layout] = {}

    def get(self, connection: Connection[Any], view: ViewKey) -> Layout:
        """The layout as last read. Raises NoLayout."""
        schema, project, name = view
        if (layout := self._layouts.get(view)) is None:
            layout = self._layouts[view] = read_layout(connection, project, name, schema=schema)
        return layout

    def forget(self, view: ViewKey) -> None:
        """Has the layout read again at the next use."""
        self._layouts.pop(view, None)
