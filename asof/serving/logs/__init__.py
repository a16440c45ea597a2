"""Access log, JSON logs and metrics."""
