"""A registered model, or the code alone -> a Bento."""
