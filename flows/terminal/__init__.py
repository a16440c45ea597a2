"""The terminal: `python -m flows COMMAND`."""
