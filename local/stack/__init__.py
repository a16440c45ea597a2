"""The servers of `make up`: MLflow, Prefect and the prediction service."""
