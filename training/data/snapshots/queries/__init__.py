"""Raw tables that are queried: the servers that are read, and the rows that they give."""
