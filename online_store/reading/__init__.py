"""Rows out of tables: for Feast as protobufs (`reads`), for the serving path as they are (`direct_lookup`)."""
