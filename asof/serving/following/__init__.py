"""The service follows the version in Production: registry, local cache, hot swap."""
