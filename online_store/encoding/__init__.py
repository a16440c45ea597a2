"""PostgreSQL types, and their binary form in COPY and in the parameters of a query."""
