"""Follows the production version of the registry: polling, a local model cache, hot swaps."""
