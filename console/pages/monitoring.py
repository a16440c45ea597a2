"""Whether the model is still right: the figures of the latest monitoring run, and the alerts."""

from console.visit import Context, Visit


def view(visit: Visit) -> Context:
    return {}
