"""One kind of data check a module."""
