"""Benchmarks of the main job beside its peers: `python -m benchmarks`, described in README.md."""
