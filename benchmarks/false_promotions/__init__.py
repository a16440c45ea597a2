"""How often the gate promotes a model that is no better, and one that is, by target and held-out rows."""

from benchmarks.false_promotions.measure import measure_false_promotions, promotions

__all__ = ["measure_false_promotions", "promotions"]
