"""One prediction from its inputs, and the model that is live in a worker."""
