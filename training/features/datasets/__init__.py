"""Training sets by point-in-time join, their digests and their split."""
