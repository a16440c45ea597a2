"""Promotion and rollback with a history that cannot be rewritten unnoticed."""
