"""Who may do what in PostgreSQL: login roles and databases made, grants compared with what they should be, and mended.

`access.py` says it, the other files make it so. The door is `python -m flows databases`.
"""
