"""Where a version or an answer comes from, and whether it can be built again."""
