"""Checks of what is in the databases and the registry."""
