"""Checks of the values of a month: missing, constant, impossible, made up, or there twice."""
