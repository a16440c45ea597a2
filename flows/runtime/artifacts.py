"""Results as artifacts of the Prefect flow run; without one nothing is published."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from flows.runtime.steps import in_flow_run


def publish_table(key: str, rows: Iterable[Mapping[str, Any]], description: str) -> None:
    """Creates a table artifact; values without a JSON type become strings."""
    if not in_flow_run():
        return
    from prefect.artifacts import create_table_artifact

    create_table_artifact(key=key, table=json.loads(json.dumps(list(rows), default=str)), description=description)


def publish_text(key: str, markdown: str, description: str) -> None:
    """Creates a Markdown artifact."""
    if not in_flow_run():
        return
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(key=key, markdown=markdown, description=description)
