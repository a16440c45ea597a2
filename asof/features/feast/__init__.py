"""Feast, read without importing it (generated messages, tables of the registry), and a faster import of it."""
