"""Reads the ledger: answers by their request, entity or time, with each value as it was kept."""
