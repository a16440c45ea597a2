"""PostgreSQL roles, databases and grants: created, compared with what they should be, and corrected.

`access.py` declares them. The command is `python -m flows databases`.
"""
