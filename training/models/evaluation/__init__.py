"""Evaluation on held-out rows, the model card and the seal."""
