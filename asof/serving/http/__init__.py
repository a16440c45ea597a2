"""The HTTP of the service: problem documents, strict JSON, limits, OpenAPI."""
