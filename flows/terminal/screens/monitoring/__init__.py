"""Screens on what became of predictions."""
