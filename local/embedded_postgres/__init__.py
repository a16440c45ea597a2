"""The project's own PostgreSQL server, used if ASOF_POSTGRES_URL is unset."""
