"""Access log, answer log, JSON logs and metrics."""
