"""Signed manifests, trusted types and golden rows: what makes a model safe to load."""
