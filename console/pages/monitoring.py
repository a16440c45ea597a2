"""Whether the model is still right: the figures of the latest monitoring run, and the alerts."""

from console.visit import Context, Visit
from monitoring.records.runs import latest_figures


def view(visit: Visit) -> Context:
    return {"figures": latest_figures(visit.settings, visit.use_case.name)}
