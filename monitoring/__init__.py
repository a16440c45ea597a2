"""What became of predictions, and what it says of the models."""
