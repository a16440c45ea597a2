"""Predictions of the ledger with their outcomes: labels of later extracts, and those that clients report."""
