"""Closed and open loops of load on a running peer."""
