"""Checks of the labels: their rate and agreement between two months, leaking features, a changed concept."""
