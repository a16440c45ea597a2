"""All runs of an experiment."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def every_run(client: "MlflowClient", experiment: str) -> Iterator["Run"]:
    """Those of the experiment of that name, deleted ones too; none where there is no such experiment."""
    from mlflow.entities import ViewType

    known, token = client.get_experiment_by_name(experiment), None
    while known:
        page = client.search_runs([known.experiment_id], run_view_type=ViewType.ALL, page_token=token)
        yield from page
        if not (token := page.token):
            return
