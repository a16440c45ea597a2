"""Keeps the answers of a worker in the ledger's spool, before they leave, and says so."""
