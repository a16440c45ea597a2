"""Writing rows: COPY into a staging table, and one upsert for each chunk."""
