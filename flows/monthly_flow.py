"""The month's work in one run: ingest, retrain, bundle."""

from datetime import date
from typing import Any

from prefect import flow

from flows.bundle_flow import bundle
from flows.ingest_flow import ingest
from flows.retrain_flow import retrain


@flow(name="monthly", description="Ingest what has arrived, train on the newest labels, promote if better, bundle.")
def monthly(folder: str, first_as_of: date | None = None, use_case: str = "churn") -> dict[str, Any]:
    """Everything from new extracts to a Bento; what is already loaded or built is not done again."""
    return {
        "ingest": ingest(folder, first_as_of, use_case=use_case),
        "retrain": retrain(use_case),
        "bundle": bundle(use_case),
    }
