"""Layouts that this process has seen: a view's name in, what was read of its table out.

Nothing here knows whether it is still true. The tables themselves tell (LayoutMoved, or errors in `lookup.MOVED`), and
whoever is told forgets the view and reads again.
"""

from typing import Any

from psycopg import AsyncConnection, Connection

from online_store.schema.layout import Layout, read_layout, read_layout_async

View = tuple[str, str, str]
"""Schema, project and view."""


class KnownLayouts:
    """A dictionary does each of these steps whole, so threads need no lock."""

    def __init__(self) -> None:
        self._layouts: dict[View, Layout] = {}

    def get(self, connection: Connection[Any], view: View) -> Layout:
        """The layout as it was last read. Raises NoLayout."""
        schema, project, name = view
        found = self._layouts.get(view)
        if found is None:
            found = self._layouts[view] = read_layout(connection, project, name, schema=schema)
        return found

    async def get_async(self, connection: AsyncConnection[Any], view: View) -> Layout:
        """The same over an asynchronous connection."""
        schema, project, name = view
        found = self._layouts.get(view)
        if found is None:
            found = self._layouts[view] = await read_layout_async(connection, project, name, schema=schema)
        return found

    def forget(self, view: View) -> None:
        """It may have changed."""
        self._layouts.pop(view, None)
