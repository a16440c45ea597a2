"""Snapshot tables partitioned by the month of `as_of`, in UTC, and the retention of months."""
