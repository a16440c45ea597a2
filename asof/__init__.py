"""The shared room: all that is needed both to train and to serve, and nothing else."""

__version__ = "0.1.0"
