"""The checks, by subject. Each is a pure function that knows no table or column by its name."""
