"""A registered version built and trained again: whether rows, definition, metrics and model come out the same."""
