"""An entity -> nothing of it: every copy is erased, and a tombstone with a keyed hash says so."""
