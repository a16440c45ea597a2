"""Checks of the platforms: PostgreSQL, MLflow, Prefect, Feast, Docker."""
