"""Checks of this machine: variables, keys, Docker."""
