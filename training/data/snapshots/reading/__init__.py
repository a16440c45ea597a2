"""The snapshots as they were known at a moment, from the primary or a replica."""
