"""Metrics of a classifier, statistical tests, and plots."""
