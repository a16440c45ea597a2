"""A PostgreSQL server of the project, where none is set."""
