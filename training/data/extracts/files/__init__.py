"""Data files as people have them, read as columns of text or typed cells."""
