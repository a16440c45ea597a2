"""Deliveries of CSV files: which there are, their typed rows, and validation."""
