"""Replay: kept answers are computed again from their kept values, by the model that gave them or by another."""
