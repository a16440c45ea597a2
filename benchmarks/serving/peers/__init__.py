"""The code of the peers, each written and started as its own documentation says."""
