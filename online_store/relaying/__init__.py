"""Materialisation from PostgreSQL to PostgreSQL without decoding the values."""
