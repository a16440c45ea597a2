"""Copies in files: Parquet scores, the spool, logs and pages, and delivered files."""
