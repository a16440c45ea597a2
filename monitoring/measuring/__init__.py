"""Reads what the ledger has, window by window, and computes the figures of each version in it."""
