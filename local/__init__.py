"""The stack without Docker: the embedded PostgreSQL and servers in the background."""
