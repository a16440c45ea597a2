"""Stages on what became of predictions."""
