"""The features of a model and a moment -> the SQL of every user's rows: each view's newest one, at any age.

How old a value may be is no matter of the join here: the verdicts decide it, as online. Rows come in the order of the
users' keys, as the database's own collation has it: so an index gives it, and `after` a key is where a run goes on.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from asof.extract_schema import ExtractSchema
from training.join_text import Form, ViewSource, joined_view

MOMENT = "moment of the row"
"""The column of a view's join that tells what its row describes; no feature has blanks in its name."""
USERS = "SELECT DISTINCT {entity} FROM {entities}{where} ORDER BY {entity}"
ROWS = """
SELECT labelled.{entity}, {columns}
FROM ({users}) AS labelled{views}
ORDER BY labelled.{entity}"""


@dataclass(frozen=True)
class Users:
    """Every user beyond the key `after` of whom the entity table has a row; which are seen, the search path tells."""

    extract: ExtractSchema
    after: str | None = None

    def listed(self) -> sql.Composed:
        """Their keys in order."""
        entity = sql.Identifier(self.extract.entity)
        beyond = (
            sql.SQL(" WHERE {} > {}").format(entity, sql.Literal(self.after)) if self.after is not None else sql.SQL("")
        )
        return sql.SQL(USERS).format(entity=entity, entities=sql.Identifier(self.extract.entities), where=beyond)


def user_rows(users: Users, sources: Iterable[ViewSource], as_of: datetime) -> dict[Form, sql.Composed]:
    """Key, then for each source its features and the moment of its row: one row for each user, in two forms.

    All of a source's columns are null where it has no row of the user up to `as_of`.
    """
    dated = [replace(each, ttl=0, columns={**each.columns, MOMENT: each.time}) for each in sources]
    entity = sql.Identifier(users.extract.entity)
    columns = [sql.Identifier(each.view, name) for each in dated for name in each.columns]
    return {
        form: sql.SQL(ROWS).format(
            entity=entity,
            columns=sql.SQL(", ").join(columns),
            users=users.listed(),
            views=sql.SQL("").join(joined_view(each, entity, as_of, form) for each in dated),
        )
        for form in Form
    }
