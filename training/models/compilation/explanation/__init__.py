"""Fitted models -> explainers (`asof.inference.explanation`), where a score is a sum of columns or of trees."""
