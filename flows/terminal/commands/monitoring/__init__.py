"""Commands on what became of predictions."""
