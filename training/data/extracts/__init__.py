"""Deliveries of CSV files: found, read and validated."""
