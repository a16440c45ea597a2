"""What Docker would do: the embedded PostgreSQL, and the stack in the background."""
