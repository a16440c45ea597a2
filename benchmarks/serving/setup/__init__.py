"""Data and models for all peers, and how each peer is started."""
