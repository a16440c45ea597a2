"""MLflow's model registry: registering, reading and verifying versions."""
