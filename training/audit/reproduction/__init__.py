"""Rebuilds and retrains a registered version, and compares rows, definition, metrics and model."""
