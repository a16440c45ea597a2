"""Metrics, statistical tests, and plots."""
