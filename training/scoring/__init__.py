"""Batch scoring from the snapshots: for every user a probability, or why there is none, as the service would answer."""
