"""Tombstones of erased entities, and the rows of later loads that they keep out."""
