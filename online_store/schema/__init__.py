"""Feature views and their tables: names, types, layouts, and how tables are made and changed."""
