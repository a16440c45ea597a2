"""The declarations of an extract: its tables and columns, where their rows come from, and when they come."""
