"""The load generator: `python -m benchmarks.serving.load`."""
