"""From the version in Production to a Bento."""
