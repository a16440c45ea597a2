"""From extracts to dated snapshots."""
