"""Months of answers that are old enough move from the ledger to Parquet files, and are dropped there."""
