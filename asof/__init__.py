"""What both training and serving need (features, trust, use cases, settings, inference), and the service."""

__version__ = "0.1.0"
