"""From snapshots to the online store."""
