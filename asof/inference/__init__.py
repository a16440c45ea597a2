"""Judging features and running a model: what training, scoring and serving share."""
