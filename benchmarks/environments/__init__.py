"""Environments of the peers that need other packages than the lock's."""
