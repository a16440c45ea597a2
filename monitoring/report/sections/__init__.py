"""The page's sections, each from the evidence on one subject."""
