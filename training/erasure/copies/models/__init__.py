"""Copies in MLflow and wherever models are: training sets, golden rows and input examples."""
