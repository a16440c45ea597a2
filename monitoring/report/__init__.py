"""The monitoring page of a use case: one HTML file that needs nothing else."""
