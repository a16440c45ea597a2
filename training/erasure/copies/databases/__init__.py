"""Copies in databases: snapshots and scores, the online store, the ledger, and Prefect."""
