"""Access log, answer log and metrics."""
