"""From snapshots to training sets and the online store."""
