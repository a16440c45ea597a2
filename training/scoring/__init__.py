"""Batch scoring from the snapshots: for every user a prediction, or why there is none, as the service would answer."""
