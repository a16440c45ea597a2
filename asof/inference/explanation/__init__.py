"""Explanations: what each feature contributes to a score, exact for sums of columns and of trees."""
