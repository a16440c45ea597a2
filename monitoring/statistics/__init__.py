"""What the numbers of a window say about a version: pure functions over arrays, without a database."""
