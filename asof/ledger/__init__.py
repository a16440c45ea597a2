"""The ledger: what each answer of the prediction service rested on, what came of it, and what was erased.

The service appends its answers to a spool of files; a shipper moves them to PostgreSQL, each exactly once.
"""
