"""One file for each page: what it shows, read from the databases and the service."""
