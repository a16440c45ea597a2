"""Fitting an estimator and recording the run."""
