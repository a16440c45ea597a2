"""MLflow: its address, clients and artifacts."""
