"""Feature views and their tables: names, types, layouts, and the statements that create and change tables."""
