"""Result tables for Prefect's pages."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from prefect.artifacts import create_table_artifact


def publish(key: str, rows: Iterable[Mapping[str, Any]], description: str) -> None:
    """One table; what JSON does not know (a moment, say) becomes text."""
    create_table_artifact(key=key, table=json.loads(json.dumps(list(rows), default=str)), description=description)
